from common import BASE, again

# >>>
import requests

session = requests.Session()  # as always: trust_env is on


def order():
    answer = session.post(f"{BASE}/order", json={"side": "buy"}, timeout=5)
    answer.raise_for_status()
# <<<


again(order)
