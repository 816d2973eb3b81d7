import { normalizeName } from "./interaction_fields";

// Names of events, as `akin import` knows them, without case, `_`, `-` and spaces.
const NAMES = {
  VIEW: "view views viewed viewitem itemview productview pageview pv detailview",
  CLICK: "click clicks clicked tap addtocart cart carts addtobasket addtobag",
  LIKE: "like likes liked favorite favourite fav thumbsup upvote",
  PURCHASE: "purchase purchases purchased buy bought transaction order orders ordered",
  SHARE: "share shares shared",
  DISLIKE: "dislike dislikes disliked thumbsdown downvote",
  SKIP: "skip skips skipped",
};
const TYPES = new Map(Object.entries(NAMES).flatMap(([type, names]) => names.split(" ").map((name) => [name, type])));

const MAX_SHOWN_LETTERS = 64;

/** Return the type of an event. A type of the catalog in its exact spelling is that type. */
export function findType(name: string, catalogTypes: Set<string>): string {
  const trimmed = name.trim();
  const type = catalogTypes.has(trimmed) ? trimmed : TYPES.get(normalizeName(trimmed));
  if (!type) {
    throw new Error(
      `type: unknown event ${name.slice(0, MAX_SHOWN_LETTERS)}; \`akin import\` can map it with --type-map`,
    );
  }
  return type;
}
