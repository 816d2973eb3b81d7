import { useEffect, useState } from "preact/hooks";

export const PAGES = ["overview", "explore", "items", "users", "map", "upkeep"] as const;
export type Page = (typeof PAGES)[number];

/** A place in the console, which the fragment of the address names: #/CATALOG/PAGE?NAME=VALUE. */
export interface Route {
  catalog: string;
  page: Page;
  query: URLSearchParams;
}

/** Decode a part of the address; one that is typed wrong stands for itself. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function parseRoute(fragment: string): Route {
  const [path = "", query = ""] = fragment.replace(/^#\/?/, "").split("?", 2);
  const [catalog = "", page = ""] = path.split("/");
  return {
    catalog: decode(catalog) || "default",
    page: PAGES.find((known) => known === page) ?? "overview",
    query: new URLSearchParams(query),
  };
}

export function buildLink(catalog: string, page: Page, query: Record<string, string> = {}): string {
  const pairs = new URLSearchParams(query).toString();
  return `#/${encodeURIComponent(catalog)}/${page}${pairs ? `?${pairs}` : ""}`;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
