"""The JSON objects of jobs, runs, nodes and the rest: commands print them with `-o json`, and the API answers them."""
