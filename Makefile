# Every target needs only Python 3.11+ with pip: the first one that runs makes .venv.
PYTHON ?= python3
BIN := .venv/bin

# The folders of the packages for other frameworks.
INTEGRATIONS := $(addprefix integrations/,langchain llamaindex haystack)

# The web console, from where the server and the packages take it.
CONSOLE_BUILD := service/console/static/index.html
CONSOLE_SOURCES := $(addprefix console/,index.html package.json tsconfig.json vite.config.ts) \
	$(shell find console/src console/public)

# Tests start hundreds of processes, each of which would compile all modules without compiled files.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo serve console screenshot browser check test test-cluster test-one test-clients test-integrations release deploy-tools faults faults-cluster fuzz lint site format protos docs locks bench-duplicates bench-hotpath bench-learning bench-overload bench-peers bench-postgres bench-provider bench-recall bench-reembedding bench-scale bench-shared-index bench-smoke bench-soak bench-throughput bench-training clean

# With CONSOLE=1, a terminal then has the web console of the sample books until Ctrl-C.
demo: .venv/ready $(if $(CONSOLE),$(CONSOLE_BUILD))
	$(BIN)/akin demo $(if $(CONSOLE),--console)

serve: .venv/ready
	$(BIN)/akin serve

# Build the web console. Needs Node.js 20.19 or later, and downloads 40 MB of tools.
console: $(CONSOLE_BUILD)

# Draw the picture of the console in the README, with Chromium.
screenshot: .venv/ready browser
	PYTHONPATH=tests $(BIN)/python tools/make_console_screenshot.py

$(CONSOLE_BUILD): console/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	cd console && npm run --silent build

# What the tests of the console need: its build, and Debian's Chromium, whose installation needs root.
browser: console
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -q -y --no-install-recommends chromium)

console/node_modules/.package-lock.json: console/package-lock.json
	@command -v npm >/dev/null || { echo "The console needs Node.js 20.19 or later, with npm." >&2; exit 1; }
	cd console && npm ci --silent --no-audit --no-fund
	touch $@

# Run before each commit. Takes under 30 s on two idle cores, once mypy has a cache. Leaves out tests
# that are marked slow, that start processes, or that draw pictures; `make test` runs them all.
check: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" \
		--ignore tests/system --ignore tests/clients --ignore tests/packages --ignore tests/cli --ignore tests/cluster

# Run one folder, file or test, up to its first failure. T takes any arguments of pytest:
#   make test-one T=tests/index
#   make test-one T="tests/index/test_tiers.py -k churn"
test-one: .venv/ready
	$(if $(T),,$(error Set T to a folder, file or test, as in: make test-one T=tests/index))
	$(BIN)/python -m pytest -q -x $(T)

# Three times as many processes as the two cores that there may be: tests often wait for servers and deadlines.
# tests/conftest.py puts long files first, which the plugin must not change. After a test that hangs or crashes, one
# process is started again, so that the run ends.
test: .venv/ready
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder --max-worker-restart 1 --ignore tests/packages --ignore tests/cluster

# Shared indexes over three nodes of Qdrant: QDRANT_BINARY is the path of its server, of which the tests start and kill
# nodes. With QDRANT_URL instead, the gRPC address of nodes that run already, the tests that kill nodes are skipped.
test-cluster: .venv/ready
	$(BIN)/python -m pytest -v -rs tests/cluster

test-clients: .venv/ready
	$(BIN)/python clients/conformance/run.py
	$(BIN)/python -m pytest -q tests/packages

# The packages for other frameworks, the imports from other vector stores, and the shop. Their dependencies are a
# download of 210 MB and take 700 MB, so they have an environment of their own.
test-integrations: integrations/.venv/ready
	integrations/.venv/bin/mypy $(wildcard integrations/*/*_akin examples/shop/*.py)
	integrations/.venv/bin/python -m pytest -n 2 --dist loadfile integrations/tests

# Build all that a release publishes, with checksums and a bill of materials, into dist/. CONTRIBUTING.md
# describes a release.
release: .venv/deploy
	rm -rf dist
	$(BIN)/python tools/release.py dist

# What the tests of deploy/ need: Helm, which Go builds in one to two minutes, and 230 MB of packages. Without
# it, these tests are skipped.
deploy-tools: $(BIN)/helm .venv/deploy

.venv/deploy: requirements-deploy.lock | .venv/ready
	$(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --require-hashes \
		-r requirements-deploy.lock
	touch $@

$(BIN)/helm: | .venv/ready
	GOBIN=$(CURDIR)/$(BIN) go install helm.sh/helm/v3/cmd/helm@v3.22.0

# Send odd requests to every method of a server. MESSAGES is the calls of each method, and SEED
# repeats the calls of a former run.
fuzz: .venv/ready
	PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(MESSAGES),--messages $(MESSAGES)) $(if $(SEED),--seed $(SEED))

# Write to real servers while faults happen, and check that nothing acknowledged is lost. Then send
# each method 334 odd requests for each minute. MINUTES=60 runs it for an hour and a half;
# SEED=n replays one scenario, and STORE=postgres has the servers use PostgreSQL.
# docs/reliability.md describes it.
faults: .venv/ready
	GRPC_VERBOSITY=none PYTHONPATH=tests $(BIN)/python -m faults \
		$(if $(STORE),--store $(STORE)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))
	$(if $(SEED),,PYTHONPATH=tests $(BIN)/python -m fuzz --messages $$((334 * $(or $(MINUTES),2))))

# Three replicas over a PostgreSQL primary with two standbys: kill replicas and primaries for ten
# minutes, or MINUTES, while writers write. SEED repeats the choices of a former run.
faults-cluster: .venv/ready
	GRPC_VERBOSITY=none PYTHONPATH=tests $(BIN)/python -m faults.cluster \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd protos && ../$(BIN)/buf lint
	cd protos && for released in released/*.binpb; do ../$(BIN)/buf breaking --against $$released || exit 1; done
	$(MAKE) --no-print-directory site

# The documentation site, in site/. A broken link, or a page that the navigation lacks, is an error.
site: .venv/site
	NO_MKDOCS_2_WARNING=1 .venv/site/bin/mkdocs build --strict --clean

.venv/site: requirements-site.lock | .venv/ready
	rm -rf $@
	$(PYTHON) -m venv --without-pip $@
	$(PYTHON) -m pip --python $@/bin/python install -q --disable-pip-version-check --require-hashes -r $<
	touch $@

format: .venv/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protos: .venv/ready
	$(BIN)/python clients/python/generate.py

docs: .venv/ready
	$(BIN)/python tools/make_api.py
	$(BIN)/python tools/make_openapi.py

locks: .venv/ready
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-package akin-client \
		--no-annotate --no-header --python-version 3.11 --extra http --extra postgres --extra qdrant pyproject.toml \
		-o requirements.lock
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-package akin-client \
		--no-annotate --no-header --python-version 3.11 --extra dev -c requirements.lock pyproject.toml \
		-o requirements-dev.lock
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-package akin-client \
		--no-annotate --no-header --python-version 3.11 --extra deploy -c requirements-dev.lock pyproject.toml \
		-o requirements-deploy.lock
	echo mkdocs-material | $(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --python-version 3.11 - -o requirements-site.lock
	echo hatchling | $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 -c requirements-dev.lock - -o deploy/build-requirements.lock
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-package akin-client \
		--no-annotate --no-header --python-version 3.11 --extra test --extra chroma --extra postgres --extra qdrant \
		-c requirements-dev.lock $(addsuffix /pyproject.toml,$(INTEGRATIONS)) pyproject.toml \
		integrations/tests/requirements.in examples/shop/requirements.in -o integrations/requirements.lock

bench-smoke: .venv/ready
	$(BIN)/python bench/smoke.py

bench-duplicates: .venv/ready
	$(BIN)/python bench/near_duplicates.py

bench-hotpath: .venv/ready
	$(BIN)/python bench/hotpath.py

bench-postgres: .venv/ready
	PYTHONPATH=tests $(BIN)/python bench/postgres.py

# QDRANT_BINARY is the path of a Qdrant server, or QDRANT_ADDRESS the host and port of its gRPC.
bench-peers: .venv/ready
	PYTHONPATH=tests:bench $(BIN)/python -m peers

bench-learning: .venv/ready
	$(BIN)/python bench/learning.py

bench-training: .venv/ready
	$(BIN)/python bench/training.py

bench-recall: .venv/ready
	$(BIN)/python bench/recall.py

bench-scale: .venv/ready
	$(BIN)/python bench/scale.py

# MEMORY and SHARED are data folders with the same items, and AKIN_QDRANT_URL the address of Qdrant.
bench-shared-index: .venv/ready
	$(BIN)/python bench/shared_index.py --memory $(MEMORY) --shared $(SHARED)

bench-throughput: .venv/ready
	$(BIN)/python bench/throughput.py

bench-provider: .venv/ready
	$(BIN)/python bench/provider.py

bench-reembedding: .venv/ready
	$(BIN)/python bench/reembedding.py

bench-overload: .venv/ready
	$(BIN)/python bench/overload.py

bench-soak: .venv/ready
	$(BIN)/python bench/soak.py $(if $(MINUTES),--minutes $(MINUTES))

# Without pip of its own, the environment also works where Debian's ensurepip is not installed.
.venv/ready: requirements-dev.lock pyproject.toml clients/python/pyproject.toml
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --require-hashes \
		-r requirements-dev.lock
	$(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --no-deps \
		--no-build-isolation -e clients/python -e .
	touch $@

# uv downloads in parallel, which takes half the time of pip here. NLTK refuses data that is hard-linked, which is
# how uv installs from its cache by default.
integrations/.venv/ready: integrations/requirements.lock pyproject.toml clients/python/pyproject.toml $(addsuffix /pyproject.toml,$(INTEGRATIONS)) | .venv/ready
	$(PYTHON) -m venv --without-pip integrations/.venv
	$(BIN)/uv pip install -q --link-mode copy --python integrations/.venv/bin/python --require-hashes \
		-r integrations/requirements.lock
	$(BIN)/uv pip install -q --python integrations/.venv/bin/python --no-deps --no-build-isolation \
		-e clients/python -e . $(addprefix -e ,$(INTEGRATIONS))
	touch $@

clean:
	rm -rf .venv integrations/.venv console/node_modules service/console/static
