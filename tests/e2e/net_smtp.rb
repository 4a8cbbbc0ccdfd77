# Sends one mail with Ruby's Net::SMTP: PORT FILE SENDER RECIPIENT...
require "net/smtp"

port, file, sender, *recipients = ARGV

begin
  Net::SMTP.start("127.0.0.1", Integer(port), helo: "example.com") do |smtp|
    smtp.send_message(File.binread(file), sender, *recipients)
  end
rescue Net::ProtocolError => error
  abort "#{error.class} #{error.message}"
end
