import { buildUrl, type Request } from "./api/http";
import type { Condition, Example, Filter, Json, RecommendRequest } from "./api/types";

/** How programs call the server over gRPC. */
export interface GrpcTarget {
  address: string;
  tls: boolean;
  /** Do calls need a key? */
  hasKey: boolean;
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function formatBody(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/** Return the call as a curl command; the key comes from a variable of the shell. */
export function toCurl(request: Request, origin: string, hasKey: boolean): string {
  const lines = [
    `curl -X ${request.verb} ${quoteForShell(origin + buildUrl(request))}`,
    `-H 'Content-Type: application/json'`,
    ...(hasKey ? [`-H "Authorization: Bearer $AKIN_API_KEY"`] : []),
    `-d ${quoteForShell(formatBody(request.body))}`,
  ];
  return lines.join(" \\\n  ");
}

export function toGrpcurl(catalog: string, body: RecommendRequest, { address, tls, hasKey }: GrpcTarget): string {
  const lines = [
    tls ? "grpcurl" : "grpcurl -plaintext",
    ...(hasKey ? [`-H "authorization: Bearer $AKIN_API_KEY"`] : []),
    `-d ${quoteForShell(formatBody({ catalog, ...body }))}`,
    `${address} akin.v1.RecommenderService/RecommendSimilar`,
  ];
  return lines.join(" \\\n  ");
}

/** Return the call as a program for the package akin-client. */
export function toPython(catalog: string, body: RecommendRequest, { address, tls, hasKey }: GrpcTarget): string {
  const keywords = listKeywords(body).map(([name, value]) => `        ${name}=${value},`);
  const client = [
    toLiteral(address),
    ...(catalog === "default" ? [] : [`catalog=${toLiteral(catalog)}`]),
    ...(tls ? ["tls=akin.Tls()"] : []),
    ...(hasKey ? [`api_key=os.environ["AKIN_API_KEY"]`] : []),
  ].join(", ");
  return [
    ...(hasKey ? ["import os", ""] : []),
    "import akin",
    "from akin import filters",
    "",
    `with akin.Client(${client}) as client:`,
    "    response = client.recommend_similar(",
    ...keywords,
    "    )",
    "    for hit in response.recommendations:",
    "        print(hit.score, hit.item_id)",
  ]
    .filter((line) => body.filter || line !== "from akin import filters")
    .join("\n");
}

function toLiteral(value: Json): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(toLiteral).join(", ")}]`;
  // A JSON string is a Python string, except for surrogates, which a text of the console never has.
  return JSON.stringify(value);
}

function listKeywords(body: RecommendRequest): [string, string][] {
  const pairs = Object.entries(body).map(([name, value]): [string, string] | undefined => {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    switch (name) {
      case "examples":
        return [snake, toExamples(body.examples ?? {})];
      case "filter":
        return ["where", toFilter(body.filter ?? {})];
      case "view":
        return ["full", "True"];
      case "relation":
        return [snake, `akin.Relation.${body.relation}`];
      case "fallback":
        return [snake, `akin.Fallback.${body.fallback}`];
      case "popular":
        return [snake, "akin.Popular()"];
      case "groupBy":
        return [snake, `akin.GroupBy(attribute=${toLiteral(body.groupBy?.attribute ?? "")})`];
      case "excludeInteractions":
        return [snake, toLiteral(body.excludeInteractions?.types ?? [])];
      default:
        return value === undefined ? undefined : [snake, toLiteral(value as Json)];
    }
  });
  return pairs.filter((pair) => pair !== undefined);
}

function toExample({ itemId, text, weight }: Example): string {
  const fields = [
    itemId === undefined ? `text=${toLiteral(text ?? "")}` : `item_id=${toLiteral(itemId)}`,
    ...(weight === undefined ? [] : [`weight=${weight}`]),
  ];
  return `akin.Example(${fields.join(", ")})`;
}

function toExamples({ positive = [], negative = [] }: { positive?: Example[]; negative?: Example[] }): string {
  const lists = Object.entries({ positive, negative })
    .filter(([, examples]) => examples.length)
    .map(([name, examples]) => `${name}=[${examples.map(toExample).join(", ")}]`);
  return `akin.examples(${lists.join(", ")})`;
}

function toFilter({ all = [], any = [], none = [] }: Filter): string {
  const parts = [
    ...all.map(toCondition),
    ...(any.length ? [`filters.any_of(${any.map(toCondition).join(", ")})`] : []),
    ...(none.length ? [`filters.none_of(${none.map(toCondition).join(", ")})`] : []),
  ];
  return `filters.all_of(${parts.join(", ")})`;
}

function toCondition(condition: Condition): string {
  const attribute = toLiteral(condition.attribute);
  if (condition.equals !== undefined) return `filters.equals(${attribute}, ${toLiteral(condition.equals)})`;
  if (condition.oneOf) return `filters.one_of(${attribute}, ${toLiteral(condition.oneOf)})`;
  if (condition.containsAny) return `filters.contains_any(${attribute}, ${toLiteral(condition.containsAny)})`;
  if (condition.range) {
    const bounds = Object.entries(condition.range).map(([bound, value]) => `${bound}=${value}`);
    return `filters.between(${attribute}, ${bounds.join(", ")})`;
  }
  return condition.exists ? `filters.exists(${attribute})` : `filters.exists(${attribute}, present=False)`;
}
