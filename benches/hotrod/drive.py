#!/usr/bin/env python3
"""Sends HotROD requests: rides, look-ups of customers and of routes, some for customers that do not exist.

    python3 benches/hotrod/drive.py --failing 0.02 --rate 8 --seconds 100

Arrivals are Poisson and do not wait for answers; the same seed sends the same requests at the same
times. A ride always holds spans with an error, since every fifth look-up of a driver times out inside the
application and is tried again; an unknown customer fails the request itself. Look-ups alone have no
error unless the customer is unknown. Prints one JSON object.
"""
import argparse
import json
import random
import threading
import time
import urllib.error
import urllib.request

CUSTOMERS = [123, 392, 567, 731]
FRONTEND = "http://127.0.0.1:8080"
CUSTOMER = "http://127.0.0.1:8081"
ROUTE = "http://127.0.0.1:8083"


def url(rng, failing):
    """The next request: half rides, the rest look-ups."""
    customer = rng.choice(CUSTOMERS)
    if rng.random() < failing:
        customer = 999
    kind = rng.random()
    if kind < 0.5:
        return f"{FRONTEND}/dispatch?customer={customer}&nonse={rng.random():.6f}"
    if kind < 0.8:
        return f"{CUSTOMER}/customer?customer={customer}"
    places = [f"{rng.randrange(1000)},{rng.randrange(1000)}" for _ in range(2)]
    return f"{ROUTE}/route?pickup={places[0]}&dropoff={places[1]}"


def fetch(address, counts):
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            response.read()
            counts["answered"] += 1
    except urllib.error.HTTPError as error:
        error.read()
        counts["refused"] += 1
    except OSError:
        counts["lost"] += 1


def wait_for_application():
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{FRONTEND}/config", timeout=1).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the application does not answer on port 8080")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--failing", type=float, required=True, help="share of unknown customers")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    wait_for_application()
    rng = random.Random(args.seed)
    counts = {"answered": 0, "refused": 0, "lost": 0}
    threads = []
    begin = time.monotonic()
    due = rng.expovariate(args.rate)
    while due < args.seconds:
        address = url(rng, args.failing)
        time.sleep(max(0.0, begin + due - time.monotonic()))
        thread = threading.Thread(target=fetch, args=(address, counts), daemon=True)
        thread.start()
        threads.append(thread)
        due += rng.expovariate(args.rate)
    for thread in threads:
        thread.join()
    print(json.dumps({"failing": args.failing, "rate": args.rate, "requests": len(threads), **counts}))


if __name__ == "__main__":
    main()
