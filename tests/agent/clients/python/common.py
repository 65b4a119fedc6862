"""What the clients share: where the exchange is, and how often they order."""

import os
import time

BASE = os.environ["EXCHANGE"]
STREAM = BASE.replace("https://", "wss://") + "/stream"
PAUSE = 0.02


def again(order):
    """Orders until that fails."""
    while True:
        order()
        time.sleep(PAUSE)


def certificate(der):
    """Whose certificate the client saw."""
    print("certificate", der.hex(), flush=True)
