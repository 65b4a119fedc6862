from common import BASE, again

# >>>
import httpx

client = httpx.Client()  # as always: trust_env is on


def order():
    client.post(f"{BASE}/order", json={"side": "buy"}).raise_for_status()
# <<<


again(order)
