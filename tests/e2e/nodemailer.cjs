// Sends one mail with Nodemailer: PORT FILE SENDER RECIPIENT...; options of its transport are in TRANSPORT.
const fs = require("node:fs");
const nodemailer = require("nodemailer");

const [port, file, from, ...to] = process.argv.slice(2);
const options = JSON.parse(process.env.TRANSPORT || "{}");
const transport = nodemailer.createTransport({ host: "127.0.0.1", port: Number(port), name: "example.com", ...options });

transport.sendMail({ envelope: { from, to }, raw: fs.readFileSync(file) }).catch((error) => {
  console.error(error.code, error.responseCode, error.response);
  process.exitCode = 1;
});
