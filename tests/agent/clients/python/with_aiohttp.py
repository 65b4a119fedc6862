import asyncio

from common import BASE, STREAM, PAUSE

# >>>
import aiohttp


async def trade():
    async with aiohttp.ClientSession(trust_env=True) as session:  # off unless you say so
        async with session.ws_connect(STREAM) as socket:  # websockets of this session as well
            while True:
                async with session.post(f"{BASE}/order", json={"side": "buy"}) as answer:
                    answer.raise_for_status()
                await socket.send_str("an order")
                await socket.receive_str()
# <<<
                await asyncio.sleep(PAUSE)


asyncio.run(trade())
