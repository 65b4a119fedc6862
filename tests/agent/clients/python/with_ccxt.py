from common import BASE, again

# >>>
import ccxt

exchange = ccxt.kraken({"requests_trust_env": True})  # off unless you say so
# <<<

again(lambda: exchange.fetch(f"{BASE}/order", "POST", {}, "{}"))
