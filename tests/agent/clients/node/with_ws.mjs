const STREAM = process.env.EXCHANGE.replace("https://", "wss://") + "/stream";

// >>>
import WebSocket from "ws";
import { HttpsProxyAgent } from "https-proxy-agent";

const socket = new WebSocket(STREAM, { agent: new HttpsProxyAgent(process.env.HTTPS_PROXY) });
// <<<

socket.on("open", () => {
  console.log("certificate", socket._socket.getPeerCertificate().raw.toString("hex"));
  socket.send("an order");
});
socket.on("message", () => setTimeout(() => socket.send("an order"), 20));
