// Generates src/generated from the protos. PYTHON is a Python interpreter with grpcio-tools, which
// contains protoc, and googleapis-common-protos.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const OPTIONS = [
  "env=node",
  "esModuleInterop=true",
  "importSuffix=.js",
  // The client is generic over these definitions. Stubs of grpc-js accept whole messages only.
  "outputServices=generic-definitions",
  // As in protobuf's JSON form: strings are exact, and JSON.stringify accepts every message.
  "forceLong=string",
  "useOptionals=messages",
  "useExactTypes=false",
  "removeEnumPrefix=true",
  // Otherwise each file exports the same helpers, and index.ts cannot export all files.
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

// A module, because Node.js 20 warns about imports of JSON.
const config = readFileSync(`${protos}/akin/v1/service_config.json`, "utf8").trim();
writeFileSync(
  `${out}/service_config.ts`,
  `// Generated from protos/akin/v1/service_config.json. DO NOT EDIT.\n\nexport const serviceConfig = ${config};\n`,
);
