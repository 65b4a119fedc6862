"""A bot that nobody can change and that ignores the variables."""

import asyncio

import aiohttp
from common import BASE, STREAM, PAUSE


async def trade():
    async with aiohttp.ClientSession() as session, session.ws_connect(STREAM) as socket:
        while True:
            async with session.post(f"{BASE}/order", json={"side": "buy"}) as answer:
                answer.raise_for_status()
            await socket.send_str("an order")
            await socket.receive_str()
            await asyncio.sleep(PAUSE)


asyncio.run(trade())
