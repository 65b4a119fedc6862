"""An exchange with TLS of its own. Writes down who ordered when, and by which version of TLS.

Arguments: address, port, certificate, key, and the file to write to: a line `<nanoseconds> <client> <TLS>` an order.
"""

import ssl
import sys
import time

from aiohttp import web

ADDRESS, PORT, CERTIFICATE, KEY, ORDERS = sys.argv[1:]
orders = open(ORDERS, "a", buffering=1)


def write_down(request):
    tls = request.transport.get_extra_info("ssl_object").version()
    orders.write(f"{time.time_ns()} {request.match_info['client']} {tls}\n")


async def order(request):
    await request.read()
    write_down(request)
    return web.json_response({"accepted": True})


async def stream(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        write_down(request)
        await socket.send_str(message.data)
    return socket


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
app = web.Application()
app.add_routes([web.post("/{client}/order", order), web.get("/{client}/stream", stream)])
web.run_app(app, host=ADDRESS, port=int(PORT), ssl_context=context, print=None, handle_signals=False)
