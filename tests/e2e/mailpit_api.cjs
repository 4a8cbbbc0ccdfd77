// Calls npm's mailpit-api: BASE_URL MILLISECONDS, which all may take. Each line of stdin is a method and its arguments; each gets a line of JSON.
const readline = require("node:readline");
const { MailpitClient } = require("mailpit-api");

const [baseURL, milliseconds] = process.argv.slice(2);
const client = new MailpitClient(baseURL, { fetchOptions: { signal: AbortSignal.timeout(Number(milliseconds)) } });

async function called(method, ...given) {
  const result = await client[method](...given);
  if (!(result instanceof Blob)) return { result };
  return { type: result.type, base64: Buffer.from(await result.arrayBuffer()).toString("base64") };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await called(...JSON.parse(line)).catch((error) => ({ error: error.message }));
    console.log(JSON.stringify(answer));
  }
})();
