"""Living with gevent's event loop: greenlets, native threads, forks, slices of work."""
