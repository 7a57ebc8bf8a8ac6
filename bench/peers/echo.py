"""A peer of the standard library alone, to try the exchange of messages with: the sum of the squares below n."""


class SumOfSquares:
    def __init__(self, options):
        self.count = options["count"]

    def run(self):
        self.total = float(sum(i * i for i in range(self.count)))

    def answer(self):
        return [self.total]


def reference(options):
    n = options["count"]
    return [float((n - 1) * n * (2 * n - 1) // 6)]


PEERS = {"echo": {"python": SumOfSquares}}
REFERENCES = {"echo": reference}
