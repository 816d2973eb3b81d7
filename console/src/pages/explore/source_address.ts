import type { Source } from "./request";

/** Read the source that an address names: ?item=ID, ?user=ID, or ?for=KIND for one without an id. */
export function readSource(query: URLSearchParams): Source {
  const userId = query.get("user");
  const kind = query.get("for");
  if (userId) return { kind: "user", userId };
  if (kind === "user") return { kind, userId: "" };
  if (kind === "texts") return { kind, texts: [{ text: "", weight: "1" }] };
  if (kind === "popular") return { kind };
  return { kind: "item", itemId: query.get("item") ?? "" };
}

/** Return the part of an address that names a source. Texts stay out of it. */
export function writeSource(source: Source): Record<string, string> {
  switch (source.kind) {
    case "item":
      return source.itemId ? { item: source.itemId } : {};
    case "user":
      return source.userId ? { user: source.userId } : { for: "user" };
    default:
      return { for: source.kind };
  }
}
