package io.akin;

import io.akin.v1.ImportInteractionsResponse;
import java.util.ArrayDeque;
import java.util.Queue;

/** Makes the positions of failures in a message positions in all messages of an import. */
final class FailurePositions {
  private final Queue<Integer> lengths = new ArrayDeque<>();
  private int position;

  /** Notes the number of interactions in the next request. */
  void add(int length) {
    lengths.add(length);
  }

  /** Returns the next response, with the changed positions. */
  ImportInteractionsResponse complete(ImportInteractionsResponse response) {
    ImportInteractionsResponse.Builder completed = response.toBuilder();
    completed
        .getFailuresBuilderList()
        .forEach(failure -> failure.setPosition(failure.getPosition() + position));
    if (!lengths.isEmpty()) { // A server can send more responses than it received messages.
      position += lengths.remove();
    }
    return completed.build();
  }
}
