"""For operators of a store: activity, nodes, doctor, following, maintenance."""
