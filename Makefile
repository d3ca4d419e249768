# Thin on purpose: each target is one script. What a target needs is installed by scripts/setup when it is missing.
.PHONY: run test lint bench release clean

run:       ## build the program and run the server; ARGS are its options
	@scripts/build
	@exec build/bin/velocity server $(ARGS)

test:      ## every test: plain, under ASan and UBSan, the concurrent ones under TSan, then over HTTP
	@scripts/test

lint:      ## layout, clang-tidy, warnings of two compilers, who may include whom
	@scripts/lint

bench:     ## side by side with its peers; ARGS are bench/run's options
	@scripts/bench $(ARGS)

release:   ## dist/velocity-VERSION-linux-MACHINE.tar.gz, the same bytes for the same commit
	@scripts/release

clean:
	rm -rf build build-* dist
