"""What may be shown of a line that may hold a secret: nothing of what AUTH brings but its mechanism."""

from __future__ import annotations

HIDDEN = "***"
"""What stands for a secret."""
_MECHANISMS = (
    *("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"),
    *("NTLM", "GSSAPI", "EXTERNAL", "ANONYMOUS"),
)


def concealed(line: str) -> str:
    """A line as it may be shown: of AUTH, no more than the mechanism."""
    verb, *rest = line.split(None, 2) or [""]
    if verb.lower() != "auth" or not rest:
        return line
    name, *secrets = rest
    if name.upper() not in _MECHANISMS:  # it may be a secret out of its place
        return f"{verb} {HIDDEN}"
    return f"{verb} {name} {HIDDEN}" if secrets else line
