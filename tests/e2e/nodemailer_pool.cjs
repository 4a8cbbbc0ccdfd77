// Sends mails through one of Nodemailer's pools, each again until it is accepted: PORT COUNT TRIES
const nodemailer = require("nodemailer");

const [port, count, tries] = process.argv.slice(2).map(Number);
const pool = nodemailer.createTransport({ host: "127.0.0.1", port, name: "example.com", pool: true, maxConnections: 2 });

async function send(number) {
  const mail = { from: "a@example.com", to: `${number}@example.com`, subject: String(number), text: "Hello" };
  for (let attempt = 1; ; attempt += 1) {
    try {
      await pool.sendMail(mail);
      return attempt;
    } catch (error) {
      if (attempt === tries) throw error;
    }
  }
}

Promise.all(Array.from({ length: count }, (_, number) => send(number)))
  .then((attempts) => console.log(attempts.reduce((sum, each) => sum + each, 0)))
  .finally(() => pool.close());
