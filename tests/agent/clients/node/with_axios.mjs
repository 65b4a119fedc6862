import { setTimeout } from "node:timers/promises";

const BASE = process.env.EXCHANGE;

// >>>
import axios from "axios";
import { HttpsProxyAgent } from "https-proxy-agent";

const httpsAgent = new HttpsProxyAgent(process.env.HTTPS_PROXY, { keepAlive: true });
const exchange = axios.create({ httpsAgent, proxy: false });
// <<<

for (;;) {
  await exchange.post(`${BASE}/order`, { side: "buy" });
  await setTimeout(20);
}
