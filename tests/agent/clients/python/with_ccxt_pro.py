import asyncio
import os

from common import BASE, STREAM, PAUSE

# >>>
import ccxt.pro

options = {"aiohttp_trust_env": True}  # REST and streams; off unless you say so
# <<<
# Its own list of authorities is used otherwise.
options["cafile"] = os.environ["SSL_CERT_FILE"]


class Exchange(ccxt.pro.kraken):
    def handle_message(self, client, message):
        client.resolve(message, "echo")


async def trade():
    exchange = Exchange(options)
    number = 0
    while True:
        number += 1
        await exchange.fetch(f"{BASE}/order", "POST", {}, "{}")
        await exchange.watch(STREAM, "echo", {"order": number}, f"order-{number}")
        await asyncio.sleep(PAUSE)


asyncio.run(trade())
