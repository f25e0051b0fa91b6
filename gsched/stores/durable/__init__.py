"""What all stores in databases share: life cycle, writing of outcomes, activity, the doctor's checks, following."""
