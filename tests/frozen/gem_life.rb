# Lives with "smtpmock" on the PATH as the gem smtp_mock does, mails in each life: ROUNDS ERR_LOG
require "net/smtp"
require "socket"
require "timeout"

HOST = "127.0.0.1"
WARM_UP = 0.1 # seconds, the gem's WARMUP_DELAY
PATIENCE = 10
ROUNDS = Integer(ARGV[0])
ERR_LOG = ARGV[1]

REFUSAL = %(550 It's "no" user)
QUOTED = [
  %(-host="#{HOST}"), "-log", "-multipleRcptto", %(-notRegisteredEmails="ghost@example.com,b@example.org"),
  %(-msgRcpttoNotRegisteredEmail="#{REFUSAL.gsub('"', '\"')}")
].freeze

def random_free_port
  server = TCPServer.new(HOST, 0)
  server.addr[1].tap { server.close }
end

# The gem's way: a string, a wait, and then whatever is in the file is an error. In a process group of its own,
# because of the shell that a quoted value takes: Debian's stays between us and the program, and keeps a signal.
def start(*flags)
  pid = Process.spawn(["smtpmock", *flags].join(" "), out: File::NULL, err: ERR_LOG, pgroup: true)
  sleep(WARM_UP)
  error = IO.readlines(ERR_LOG)[0]
  return pid unless error

  stop("KILL", -pid)
  raise error.strip
end

def stop(signal, pid)
  reaper = Process.detach(pid.abs)
  begin
    Process.kill(signal, pid)
  rescue Errno::ESRCH
    nil # it is gone
  end
  raise "process #{pid} is still there" unless reaper.join(PATIENCE)
end

def live(port, flags, signal, whole_group:)
  pid = start("-port=#{port}", *flags)
  begin
    yield port
  ensure
    stop(signal, whole_group ? -pid : pid)
  end
end

def connection(port, &block)
  smtp = Net::SMTP.new(HOST, port)
  smtp.open_timeout = smtp.read_timeout = PATIENCE
  smtp.start("example.com", &block)
end

def mail(port)
  connection(port) do |smtp|
    smtp.send_message("Subject: hi\r\n\r\nHello\r\n", "a@example.com", "b@example.com")
  end
end

def refusal(port)
  connection(port) do |smtp|
    smtp.mailfrom("a@example.com")
    smtp.rcptto("ghost@example.com")
  end
rescue Net::SMTPFatalError => error
  error.message.strip
end

def wait_until_closed(port)
  Timeout.timeout(PATIENCE) do
    loop do
      TCPSocket.new(HOST, port).close
      sleep(0.01)
    end
  end
rescue Errno::ECONNREFUSED, Errno::ECONNRESET
  nil
end

begin
  ROUNDS.times do |number|
    # Without a quote Ruby takes no shell: the process is the program, and a signal to it is its end.
    port = random_free_port
    live(port, ["-log"], number.even? ? "TERM" : "KILL", whole_group: false) { mail(port) }
    TCPServer.new(HOST, port).close # free at once

    port = random_free_port
    live(port, QUOTED, "TERM", whole_group: true) do
      mail(port)
      raise "not refused, or not in these words: #{refusal(port)}" unless refusal(port) == REFUSAL
    end
    wait_until_closed(port)
  end

  taken = TCPServer.new(HOST, 0)
  begin
    stop("KILL", -start("-port=#{taken.addr[1]}"))
    raise "a port in use went unnoticed"
  rescue RuntimeError => error
    expected = "Failed to start SMTP mock server on port: #{taken.addr[1]}"
    raise unless error.message.match?(%r{\A\d{4}/\d\d/\d\d \d\d:\d\d:\d\d #{expected}\z})
  end
  puts "#{2 * ROUNDS} lives, one refused port"
rescue StandardError => error
  abort "#{error.class} #{error.message}"
end
