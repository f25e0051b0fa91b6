"""The parts of verbs_fuzz.py: who calls verbs, where the jobs run and are disturbed, and who judges."""
