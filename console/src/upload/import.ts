import { describeError, isCanceled } from "../api/errors";
import type { CatalogApi } from "../api/methods";
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

/** Send the records of a file in batches, so that progress shows and cancelling keeps what is stored. */
export async function importFile(api: CatalogApi, file: File, options: ImportOptions): Promise<ImportProgress> {
  const { kind, validateOnly, signal, onProgress } = options;
  const progress: ImportProgress = { readBytes: 0, stored: 0, duplicates: 0, refused: 0, refusals: [], notes: [] };
  let batch: { line: number; json: string }[] = [];
  let letters = 0;

  const refuse = (line: number, message: string) => {
    progress.refused += 1;
    if (progress.refusals.length < MAX_LISTED_REFUSALS) progress.refusals.push({ line, message });
  };
  const send = async () => {
    if (batch.length) await sendBatch(api, batch, { kind, validateOnly, signal }, progress, refuse);
    batch = [];
    letters = 0;
    onProgress({ ...progress, refusals: [...progress.refusals] });
  };

  const types = kind === "interactions" ? Object.keys((await api.get(signal)).settings?.interactionWeights ?? {}) : [];
  const onBytes = (count: number) => (progress.readBytes += count);
  const onNotes = (notes: string[]) => (progress.notes = notes);
  for await (const record of readRecords(file, { kind, types, onBytes, onNotes })) {
    if (signal.aborted) break;
    if (!isReadable(record)) {
      refuse(record.line, record.error);
      continue;
    }
    batch.push(record);
    letters += record.json.length;
    if (batch.length >= BATCH_RECORDS || letters >= BATCH_LETTERS) await send();
  }
  if (!signal.aborted) await send();
  return progress;
}

function isReadable(record: FileRecord): record is { line: number; json: string } {
  return "json" in record;
}

async function sendBatch(
  api: CatalogApi,
  batch: { line: number; json: string }[],
  { kind, validateOnly, signal }: Omit<ImportOptions, "onProgress">,
  progress: ImportProgress,
  refuse: (line: number, message: string) => void,
): Promise<void> {
  const lines = `${batch.map(({ json }) => json).join("\n")}\n`;
  try {
    for await (const event of api.importLines(kind, lines, validateOnly, signal)) {
      if (event.line !== undefined && event.error) {
        refuse(batch[event.line - 1]?.line ?? event.line, event.error.message ?? "refused");
      } else {
        // A check counts valid lines in place of stored ones.
        progress.stored += Number(event.stored ?? 0) + Number(event.valid ?? 0);
        progress.duplicates += Number(event.duplicates ?? 0);
        if (event.error) throw new Error(event.error.message);
      }
    }
  } catch (error) {
    if (isCanceled(error)) throw error;
    const first = batch[0]?.line ?? 0;
    throw new Error(`From line ${first} on, nothing more was sent: ${describeError(error)}`);
  }
}
