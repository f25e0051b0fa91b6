"""Pure decisions about due instants: which of them run, and which are missed, skipped or coalesced."""
