# The commands that people type; CMakePresets.json holds the builds behind them.
JOBS := $(shell nproc)
TESSERA := build/release/apps/tessera/tessera

.PHONY: demo test quick core build packages python-env format check clean

# The main job: a trained ResNet8 laid onto an analog + digital chip, with most of the work on tiles.
demo: packages build/release/build.ninja
	cmake --build --preset release -j$(JOBS) --target tessera
	$(TESSERA) map models/resnet8_fashion_mnist.onnx --hardware ibm_hybrid \
	  --data fashion-mnist --strategy mps --min-analog-macs 0.6 --out runs/demo
	@echo
	@echo "report:  $(CURDIR)/runs/demo/report.html"
	@echo "mapping: $(CURDIR)/runs/demo/mapping.json"

# All tests.
test: packages python-env build
	ctest --preset all

# The tests that take seconds.
quick: packages build
	ctest --preset quick

# The half without LibTorch, alone.
core: packages build/core/build.ninja
	cmake --build --preset core -j$(JOBS)
	ctest --preset core

build: packages build/release/build.ninja
	cmake --build --preset release -j$(JOBS)

build/%/build.ninja: | packages
	cmake --preset $*

packages:
	@tools/install_packages

python-env: packages
	@tools/make_python_env

format:
	tools/check_format --fix

check:
	tools/check_format
	tools/check_layers
	tools/check_docs

clean:
	rm -rf build
