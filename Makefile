# Thin on purpose: each target is one script. What a target needs is installed by scripts/setup when it is missing.
.PHONY: run test fuzz soak coverage lint bench release clean

run:       ## build the program and run the server; ARGS are its options
	@scripts/build
	@exec build/bin/velocity server $(ARGS)

test:      ## every test: plain, under ASan and UBSan, the concurrent ones under TSan, the fuzzers for a few seconds, then over HTTP
	@scripts/test

fuzz:      ## each fuzzer for FUZZ_SECONDS (300); ARGS names some only
	@scripts/fuzz $(ARGS)

soak:      ## everything at once with kill -9 in between, for SOAK_SECONDS (600)
	@scripts/soak $(ARGS)

coverage:  ## which lines of engine/ the tests run
	@scripts/coverage

lint:      ## layout, clang-tidy, warnings of two compilers, who may include whom
	@scripts/lint

bench:     ## side by side with its peers; ARGS are bench/run's options
	@scripts/bench $(ARGS)

release:   ## dist/velocity-VERSION-linux-MACHINE.tar.gz, the same bytes for the same commit
	@scripts/release

clean:
	rm -rf build build-* dist
