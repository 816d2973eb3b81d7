import { describeError, toUnreachable } from "../api/errors";
import type { CatalogApi } from "../api/methods";
import { formatCount } from "../format";
import type { Kind } from "./convert";
import { type FileRecord, readRecords } from "./records";

const BATCH_RECORDS = 500;
const BATCH_LETTERS = 2_000_000;

/** Refused lines beyond these are counted, but not listed. */
export const MAX_LISTED_REFUSALS = 1000;

export interface Refusal {
  line: number;
  message: string;
}

export interface ImportProgress {
  readBytes: number;
  stored: number;
  /** Interactions that the catalog had already. */
  duplicates: number;
  refused: number;
  refusals: Refusal[];
  /** How the file is read. */
  notes: string[];
}

interface ImportOptions {
  kind: Kind;
  validateOnly: boolean;
  signal: AbortSignal;
  onProgress: (progress: ImportProgress) => void;
}

/** A number of records from the start of a file, with the line of the last of them. */
interface Reach {
  records: number;
  line: number;
}

type SentRecord = { line: number; json: string };

/**
 * Send the records of a file in batches, so that progress shows and cancelling keeps what is stored.
 *
 * Throws an error that says which records are stored, if it does not come to the end of the file.
 */
export async function importFile(api: CatalogApi, file: File, options: ImportOptions): Promise<ImportProgress> {
  const { kind, validateOnly, signal, onProgress } = options;
  const progress: ImportProgress = { readBytes: 0, stored: 0, duplicates: 0, refused: 0, refusals: [], notes: [] };
  const reach = { read: { records: 0, line: 0 }, sent: { records: 0, line: 0 }, answered: { records: 0, line: 0 } };
  let batch: SentRecord[] = [];
  let letters = 0;

  const refuse = (line: number, message: string) => {
    progress.refused += 1;
    if (progress.refusals.length < MAX_LISTED_REFUSALS) progress.refusals.push({ line, message });
  };
  const send = async () => {
    signal.throwIfAborted();
    reach.sent = reach.read;
    if (batch.length) await sendBatch(api, batch, { kind, validateOnly, signal }, progress, refuse);
    reach.answered = reach.sent;
    batch = [];
    letters = 0;
    onProgress({ ...progress, refusals: [...progress.refusals] });
  };
  try {
    const types = kind === "interactions" ? Object.keys((await api.get(signal)).settings?.interactionWeights ?? {}) : [];
    const onBytes = (count: number) => (progress.readBytes += count);
    const onNotes = (notes: string[]) => (progress.notes = notes);
    for await (const record of readRecords(file, { kind, types, onBytes, onNotes })) {
      reach.read = { records: reach.read.records + 1, line: record.line };
      if (isReadable(record)) batch.push(record);
      else refuse(record.line, record.error);
      letters += isReadable(record) ? record.json.length : 0;
      if (batch.length >= BATCH_RECORDS || letters >= BATCH_LETTERS) await send();
    }
    if (!reach.read.records) throw new Error("The file contains no records.");
    await send();
    return progress;
  } catch (error) {
    const cause = signal.aborted ? "Canceled." : describeError(error);
    throw new Error(reach.sent.records ? `${cause} ${describeReach(reach.answered, reach.sent, validateOnly)}` : cause);
  }
}

/** Say what is known of the records of an upload that did not come to its end. */
function describeReach(answered: Reach, sent: Reach, validateOnly: boolean): string {
  const count = (start: string, records: number, line: number) =>
    `${start} ${formatCount(records)} records, up to line ${line},`;
  if (validateOnly) return `Only ${count("the first", answered.records, answered.line)} were checked.`;
  const rest = sent.records - answered.records;
  const sentences = [
    answered.records &&
      `${count("The first", answered.records, answered.line)} are stored, without the refused ones.`,
    rest && `${count(answered.records ? "The next" : "The first", rest, sent.line)} may be stored.`,
    "Nothing after them was sent.",
  ];
  return sentences.filter(Boolean).join(" ");
}

function isReadable(record: FileRecord): record is SentRecord {
  return "json" in record;
}

const KINDS = { Item: "an item. Attributes go into the field `attributes`", User: "a user", Interaction: "an interaction" };

function describeRefusal(message = "refused"): string {
  return message.replace(/of akin\.v1\.(Item|User|Interaction)\b/, (_, kind: keyof typeof KINDS) => `of ${KINDS[kind]}`);
}

async function sendBatch(
  api: CatalogApi,
  batch: SentRecord[],
  { kind, validateOnly, signal }: Omit<ImportOptions, "onProgress">,
  progress: ImportProgress,
  refuse: (line: number, message: string) => void,
): Promise<void> {
  const lines = `${batch.map(({ json }) => json).join("\n")}\n`;
  try {
    for await (const event of api.importLines(kind, lines, validateOnly, signal)) {
      if (event.line !== undefined && event.error) {
        refuse(batch[event.line - 1]?.line ?? event.line, describeRefusal(event.error.message));
      } else {
        // A check counts valid lines in place of stored ones.
        progress.stored += Number(event.stored ?? 0) + Number(event.valid ?? 0);
        progress.duplicates += Number(event.duplicates ?? 0);
        if (event.error) throw new Error(event.error.message);
      }
    }
  } catch (error) {
    // A connection that ends in the middle of a response is a TypeError of the browser.
    throw error instanceof TypeError ? toUnreachable() : error;
  }
}
