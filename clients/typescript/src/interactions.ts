import type { ImportInteractionsResponse } from "./generated/akin/v1/interaction_service.js";
import type { InteractionInput } from "./methods.js";

/**
 * Sets the time of interactions that have none to the present one, so that a retry after an unknown outcome does not
 * record them again.
 */
export function withTimes<Request extends { interactions?: readonly InteractionInput[] }>(request: Request): Request {
  const interactions = request.interactions?.map((interaction) =>
    interaction.time ? interaction : { ...interaction, time: new Date() },
  );
  return { ...request, interactions };
}

/** Makes the positions of failures in a message positions in all messages of an import. */
export class FailurePositions {
  readonly #lengths: number[] = [];
  #position = 0;

  /** Notes the number of interactions in the next request. */
  add(length: number): void {
    this.#lengths.push(length);
  }

  /** Changes the positions of the failures in the next response. */
  complete(response: ImportInteractionsResponse): void {
    for (const failure of response.failures) {
      failure.position += this.#position;
    }
    this.#position += this.#lengths.shift() ?? 0;
  }
}
