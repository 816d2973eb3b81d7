// Makes src/generated from the protos. PYTHON names a Python that has grpcio-tools and
// googleapis-common-protos; there is no other use for protoc here.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const OPTIONS = [
  "env=node",
  "esModuleInterop=true",
  "importSuffix=.js",
  // The client is generic over these; stubs of grpc-js would take whole messages only.
  "outputServices=generic-definitions",
  // As in protobuf's JSON: exact, and JSON.stringify works on every message.
  "forceLong=string",
  "useOptionals=messages",
  "useExactTypes=false",
  "removeEnumPrefix=true",
  // Each file would export the same helpers, so that no index could export all files.
  "exportCommonSymbols=false",
  "annotateFilesWithVersion=false",
];

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const python = process.env.PYTHON ?? "../../.venv/bin/python";
const protos = "../../protos";
const out = "src/generated";

const findCommon = "import google.rpc.status_pb2 as s, pathlib; print(pathlib.Path(s.__file__).parents[2])";
const common = execFileSync(python, ["-c", findCommon], { encoding: "utf8" }).trim();
const files = readdirSync(`${protos}/akin/v1`).filter((name) => name.endsWith(".proto"));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
execFileSync(
  python,
  [
    "-m",
    "grpc_tools.protoc",
    `-I${protos}`,
    `-I${common}`,
    "--plugin=protoc-gen-ts_proto=./node_modules/.bin/protoc-gen-ts_proto",
    `--ts_proto_out=${out}`,
    `--ts_proto_opt=${OPTIONS.join(",")}`,
    ...files.map((name) => `akin/v1/${name}`),
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
  ],
  { stdio: "inherit" },
);

// A module rather than JSON, which Node 20 imports with a warning only.
const config = readFileSync(`${protos}/akin/v1/service_config.json`, "utf8").trim();
writeFileSync(
  `${out}/service_config.ts`,
  `// Made from protos/akin/v1/service_config.json. DO NOT EDIT.\n\nexport const serviceConfig = ${config};\n`,
);
