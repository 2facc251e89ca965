"""What a sweep's fork server imports last: a closed terminal and a scheduler's SIGTERM are the sweep's affair, not its.

Workers inherit this until they say how they take signals.
"""

import signal

for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
