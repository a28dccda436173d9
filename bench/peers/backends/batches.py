"""Batches of documents as a peer takes them. Pure functions."""


def make_batches(lengths, size):
    """Lists of documents' numbers: sorted by length so that a batch has little
    padding, the longest first so that parallel streams end together."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i:i + size] for i in range(0, len(order), size)]


def batch_sizes(count, threads):
    """(documents of a batch, parallel streams) worth a trial: one batch at a
    time on all threads, and a batch for each thread."""
    together = {min(count, size) for size in (16, 4)}
    apart = {min(-(-count // threads), size) for size in (4, 1)}
    return ([(size, 1) for size in sorted(together)]
            + [(size, threads) for size in sorted(apart) if threads > 1])
