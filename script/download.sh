#!/bin/sh
# Puts the program smtpmock, and its folder smtpmock-files, into the current directory:
#
#     curl -sL https://raw.githubusercontent.com/smtpmock/smtpmock/main/script/download.sh | sh
#
# The variable VERSION chooses a release (2.7.0 or v2.6.0; the latest otherwise), and SMTPMOCK_URL a mirror
# that is laid out like GitHub's releases. An older smtpmock here is replaced; whatever fails, it stays.
#
# All is in functions and the last line calls them, so that half a download of this script does nothing.
set -eu

main() {
    choose_archive
    choose_release
    check_tools
    check_place
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Here and not in /tmp, so that putting in place is a rename, which no full disk can cut in half.
    work=$(mktemp -d ./.smtpmock.XXXXXX) || fail "cannot write into $PWD"
    fetch checksums.txt
    read_checksum
    fetch "$archive"
    [ "$(sha256 "$work/$archive")" = "$checksum" ] ||
        fail "$archive is not what was released: its SHA-256 differs from the one in checksums.txt"
    unpack
    put_in_place
    echo "smtpmock is here now; to start it: ./smtpmock -port=2525 -log"
}

program=smtpmock
files=smtpmock-files
work=

choose_archive() {
    system=$(uname -s)
    machine=$(uname -m)
    case $machine in
    x86_64 | amd64) processor=x86_64 ;;
    arm64 | aarch64) processor=arm64 ;;
    *) fail "there is no smtpmock for the processor '$machine'; $otherwise" ;;
    esac
    case $system in
    Linux) archive=smtpmock_Linux_$processor.tar.gz ;;
    Darwin) archive=smtpmock_Darwin_$processor.tar.gz ;;
    MINGW* | MSYS* | CYGWIN*)
        # For arm64 too: Windows runs it there.
        archive=smtpmock_Windows_x86_64.zip
        program=smtpmock.exe
        ;;
    *) fail "there is no smtpmock for the system '$system'; $otherwise" ;;
    esac
}

otherwise="'pip install smtpmock-cli' works wherever Python does"

choose_release() {
    url=${SMTPMOCK_URL:-https://github.com/smtpmock/smtpmock/releases}
    url=${url%/}
    release=${VERSION:-latest}
    case ${release#v} in
    latest) url=$url/latest/download ;;
    *[!0-9A-Za-z.+-]*) fail "VERSION is '$release', which is no version such as 2.7.0" ;;
    *) url=$url/download/v${release#v} ;;
    esac
}

check_tools() {
    has curl || has wget || fail "curl or wget is needed"
    has sha256sum || has shasum || has openssl || fail "sha256sum, shasum or openssl is needed"
    case $archive in
    *.zip) has unzip || has tar || fail "unzip is needed, or a tar that reads zip files" ;;
    *) has tar || fail "tar is needed" ;;
    esac
}

check_place() {
    # What has the name but is something else, such as a clone of the project, is not ours to replace.
    [ ! -d "$program" ] || fail "$program is a folder here; go to another directory"
    ! is_there "$files" || [ -d "$files" ] || fail "$files is no folder here; go to another directory"
}

fetch() {
    code=0
    if has curl; then
        tool=curl
        curl -fsSL --connect-timeout 30 --speed-limit 1 --speed-time 60 --retry 2 -o "$work/$1" "$url/$1" || code=$?
    else
        # Nothing more, because BusyBox's knows little more.
        tool=wget
        wget -q -t 3 -O "$work/$1" "$url/$1" || code=$?
    fi
    case $tool-$code in
    *-0) ;;
    curl-22 | wget-8) fail "the server has no $url/$1, or does not give it: is there a release '$release'?" ;;
    curl-23 | wget-3) fail "cannot write into $PWD; is the disk full?" ;;
    *) fail "cannot download $url/$1 ($tool failed with code $code): is there a network, and a release '$release'?" ;;
    esac
}

read_checksum() {
    checksum=
    while read -r sum name || [ -n "$sum" ]; do
        # The asterisk is sha256sum's mark of a binary file.
        [ "${name#\*}" != "$archive" ] || checksum=$sum
    done <"$work/checksums.txt"
    [ -n "$checksum" ] || fail "checksums.txt of the release '$release' does not name $archive"
}

# From standard input, because each tool writes a file's name in another way.
sha256() {
    if has sha256sum; then
        sum=$(sha256sum <"$1")
    elif has shasum; then
        sum=$(shasum -a 256 <"$1")
    else
        sum=$(openssl dgst -sha256 <"$1")
        sum=${sum##* }
    fi
    echo "${sum%% *}"
}

unpack() {
    code=0
    mkdir "$work/new" "$work/old" || fail "cannot write into $PWD; is the disk full?"
    case $archive in
    *.zip)
        if has unzip; then
            unzip -q "$work/$archive" -d "$work/new" || code=$?
        else
            tar -xf "$work/$archive" -C "$work/new" || code=$?
        fi
        ;;
    # -o: root would get files of whoever packed them.
    *) tar -xzof "$work/$archive" -C "$work/new" || code=$? ;;
    esac
    [ "$code" = 0 ] || fail "cannot unpack $archive; is the disk full, or a tool for it missing (gzip, unzip)?"
    if [ ! -f "$work/new/$program" ] || [ ! -d "$work/new/$files" ]; then
        fail "$archive does not hold $program and $files"
    fi
    # A zip may not say so.
    chmod +x "$work/new/$program"
}

put_in_place() {
    # It takes no time, and what is half done then is worse than a late exit.
    trap '' HUP INT TERM
    set_aside "$program" && set_aside "$files" && mv "$work/new/$files" . && mv "$work/new/$program" . && return
    lost=
    put_back "$program" || lost=yes
    put_back "$files" || lost=yes
    [ -n "$lost" ] || fail "cannot replace $program; is it running?"
    kept=${work#./}/old
    work= # so that it is not removed
    fail "cannot replace $program, nor put all of the old one back: see $PWD/$kept"
}

set_aside() {
    ! is_there "$1" || mv "$1" "$work/old/"
}

put_back() {
    # It is the new one where that has left its place.
    is_there "$work/new/$1" || rm -rf "./$1"
    is_there "$1" || ! is_there "$work/old/$1" || mv "$work/old/$1" .
}

clean_up() {
    trap '' HUP INT TERM
    [ -z "$work" ] || rm -rf "$work"
}

is_there() {
    [ -e "$1" ] || [ -L "$1" ]
}

has() {
    command -v "$1" >/dev/null 2>&1
}

fail() {
    echo "smtpmock: $*" >&2
    exit 1
}

main "$@"
