import { setTimeout } from "node:timers/promises";

const BASE = process.env.EXCHANGE;

// >>>
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new EnvHttpProxyAgent()); // from here on fetch() follows the variables
// <<<

for (;;) {
  const answer = await fetch(`${BASE}/order`, { method: "POST", body: "{}" });
  if (!answer.ok) throw new Error(await answer.text());
  await answer.text();
  await setTimeout(20);
}
