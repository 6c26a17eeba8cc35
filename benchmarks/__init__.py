r"""Speed of vaekit beside what people use today. `benchmarks/README.md` is the protocol."""
