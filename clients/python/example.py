"""A bot that asks right before each order whether it may still send it. It prints every change of the answer; a real
one puts the fencing token into the id of each order."""

import time

from tradingbot_leadership import Leadership

BETWEEN_ORDERS = 0.001


def main() -> None:
    leadership = Leadership()
    told, orders = "", 0
    while True:
        check = leadership.check()
        if check.may_trade:
            orders += 1
            # Here the order is sent, as tb-<fencing token>-<number>.
        word = "trading" if check.may_trade else "not trading"
        now = f"{word}: {check.role} in epoch {check.epoch}, token {check.fencing_token}"
        if now != told:
            print(f"{now} (orders so far: {orders})", flush=True)
            told = now
        time.sleep(BETWEEN_ORDERS)


if __name__ == "__main__":
    main()
