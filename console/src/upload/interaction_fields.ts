export const INTERACTION_FIELDS = [
  "user_id",
  "item_id",
  "type",
  "value",
  "time",
  "interaction_id",
  "recommendation_id",
] as const;

export type InteractionField = (typeof INTERACTION_FIELDS)[number];

/** The column of each field; a field without a column is absent. */
export type InteractionColumns = Partial<Record<InteractionField, string>>;

const RATINGS = "rating ratings stars score overall bookrating userrating";

// Names of the columns of each field, as `akin import` knows them, without case, `_`, `-` and spaces.
// Of a field, a name in an earlier group is preferred.
const NAMES: Record<InteractionField, string[]> = {
  user_id: [
    "userid",
    "uid customerid visitorid memberid personid accountid reviewerid profileid",
    "user customer visitor member reviewer",
  ],
  item_id: [
    "itemid",
    "productid sku asin isbn movieid filmid bookid articleid artistid albumid trackid songid videoid showid gameid " +
      "animeid recipeid businessid courseid newsid postid listingid offerid hotelid",
    "item product movie film book article artist track song video",
  ],
  type: ["type", "eventtype interactiontype actiontype behaviortype", "event action"],
  value: ["value", RATINGS, "weight plays playcount count"],
  time: ["time", "timestamp timestampms ts eventtime datetime createdat unixtime unixreviewtime", "date"],
  interaction_id: ["interactionid", "eventid"],
  recommendation_id: ["recommendationid"],
};

/** Return a name without what spellings differ in. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[_\- ]/g, "");
}

export function isRating(column: string): boolean {
  return RATINGS.split(" ").includes(normalizeName(column));
}

/** Find the column of each field. */
export function assignColumns(columns: string[]): InteractionColumns {
  const assigned: InteractionColumns = {};
  for (const field of INTERACTION_FIELDS) {
    for (const group of NAMES[field]) {
      const matches = columns.filter((column) => group.split(" ").includes(normalizeName(column)));
      if (matches.length > 1 && !assigned[field]) throw new Error(`${matches.join(" and ")} can both be the ${field}`);
      if (matches[0] !== undefined) assigned[field] ??= matches[0];
    }
  }
  return assigned;
}
