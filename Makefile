# The front door. Everything below also works by hand: docs/guide.md.
BUILD := build/release
JOBS ?= $(shell nproc)

.PHONY: help build test demo proof tenfold bench format clean install-deps

help:
	@echo "make demo          fetch a small model, teach it long texts, prove it: runs/demo/report.html"
	@echo "make proof         beyond the demo: 240 records of 1K to 8K tokens; pass keys and ten more needles: runs/proof/report.html"
	@echo "make tenfold       8K to 80K: data, training, evaluations, report on a GPU: runs/tenfold-80K-11/report.html"
	@echo "make test          build and run every test"
	@echo "make build         install what is missing and build $(BUILD)/src/tenfold"
	@echo "make bench         speed of this machine against its ceilings, part by part"
	@echo "make format        clang-format all sources"
	@echo "make install-deps  only install the packages"
	@echo "make clean         remove the build; runs and downloads stay"

install-deps:
	@dev/install build

build: install-deps
	@cmake --preset release -Wno-dev
	@cmake --build $(BUILD) --parallel $(JOBS)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure

demo: build
	@dev/demo

proof: build
	@dev/demo proof

tenfold: build
	@dev/tenfold

bench: build
	@dev/demo model
	@$(BUILD)/src/tenfold bench ceilings
	@$(BUILD)/src/tenfold bench prefill --model demo/SmolLM2-135M-Instruct.Q4_1.gguf --length 512,2K
	@$(BUILD)/src/tenfold bench step --model demo/SmolLM2-135M-Instruct.Q4_1.gguf --length 512,2K,8K
	@$(BUILD)/src/tenfold bench decode --model demo/SmolLM2-135M-Instruct.Q4_1.gguf --length 128,4K

format:
	@find src tests bench fuzz -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs clang-format-14 -i

clean:
	@rm -rf build
