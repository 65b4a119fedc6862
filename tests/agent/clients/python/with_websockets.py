import asyncio

from common import STREAM, PAUSE, certificate

# >>>
import websockets  # 15 or later; earlier ones ignore the variables


async def trade():
    async with websockets.connect(STREAM) as socket:  # as always: proxy=True
# <<<
        certificate(socket.transport.get_extra_info("ssl_object").getpeercert(True))
        while True:
            await socket.send("an order")
            await socket.recv()
            await asyncio.sleep(PAUSE)


asyncio.run(trade())
