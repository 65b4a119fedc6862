// Azurite's blob service on a free port of 127.0.0.1, in memory, with the empty container `backups`. Its arguments: the
// folder with node_modules, the account and its key. The first line on standard output is the address.
const { createHmac } = require("node:crypto");
const { createRequire } = require("node:module");

const [folder, account, key] = process.argv.slice(2);

async function makeContainer(address) {
  const date = new Date().toUTCString();
  const version = "2021-12-02";
  const path = `/${account}/backups`;
  const headers = `x-ms-date:${date}\nx-ms-version:${version}\n`;
  const signed = `PUT\n${"\n".repeat(11)}${headers}/${account}${path}\nrestype:container`;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(signed).digest("base64");
  const made = await fetch(`${address}${path}?restype=container`, {
    method: "PUT",
    headers: { "x-ms-date": date, "x-ms-version": version, authorization: `SharedKey ${account}:${signature}` },
  });
  if (made.status !== 201) throw new Error(`no container: ${made.status} ${await made.text()}`);
}

// That it listens is said on standard output, and nothing else of what it says is wanted there.
console.log = (text) => {
  const address = /successfully listens on (http:\S+)/.exec(text)?.[1];
  if (!address) return;
  makeContainer(address).then(
    () => process.stdout.write(`${address}\n`),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
};
process.env.AZURITE_ACCOUNTS = `${account}:${key}`;
process.argv.splice(2, 3, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry",
  "--skipApiVersionCheck", "--silent");
createRequire(`${folder}/`)("azurite/dist/src/blob/main.js");
