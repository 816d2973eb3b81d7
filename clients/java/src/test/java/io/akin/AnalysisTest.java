package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.akin.v1.ClassifyTextRequest;
import io.akin.v1.ClusterItemsRequest;
import io.akin.v1.FindDuplicatesRequest;
import io.akin.v1.FindDuplicatesResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class AnalysisTest {
  private final StandIn server = new StandIn();
  private final AkinClient client =
      AkinClient.builder(server.address()).apiKey("k").timeout(Duration.ofSeconds(20)).build();

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  /** A call that examines a whole catalog has a deadline of ten minutes by default. */
  @Test
  void analysesHaveALongDeadline() {
    client.analysis().clusterItems(ClusterItemsRequest.getDefaultInstance());
    assertSecondsLeft(600);
    client.analysis().findDuplicates(FindDuplicatesRequest.getDefaultInstance()).next();
    assertSecondsLeft(600);
    client.analysis().classifyText(ClassifyTextRequest.getDefaultInstance());
    assertSecondsLeft(20);
    client
        .analysis()
        .withDeadlineAfter(60, TimeUnit.SECONDS)
        .findDuplicates(FindDuplicatesRequest.getDefaultInstance())
        .next();
    assertSecondsLeft(60);
  }

  /** A response stream yields all responses, and its call sends the API key. */
  @Test
  void aStreamYieldsItsResponses() {
    Iterator<FindDuplicatesResponse> responses =
        client.analysis().findDuplicates(FindDuplicatesRequest.getDefaultInstance());
    assertEquals(2, responses.next().getProgress().getCoverage().getItemCount());
    FindDuplicatesResponse last = responses.next();
    assertEquals(FindDuplicatesResponse.EventCase.GROUPS, last.getEventCase());
    assertEquals(2, last.getGroups().getCoverage().getItemCount());
    assertEquals(false, responses.hasNext());
    assertEquals("Bearer k", server.authorization);
  }

  /** A response stream ends with its error after the responses before it. */
  @Test
  void aStreamEndsWithItsError() {
    Iterator<FindDuplicatesResponse> responses =
        client.analysis().findDuplicates(FindDuplicatesRequest.newBuilder().setItemId("a").build());
    assertEquals(2, responses.next().getProgress().getCoverage().getItemCount());
    AkinException error =
        AkinException.of(assertThrows(StatusRuntimeException.class, responses::next));
    assertEquals(Status.Code.NOT_FOUND, error.code());
    assertEquals("ITEM_NOT_FOUND", error.reason());
  }

  private void assertSecondsLeft(long expected) {
    long seconds = server.deadline.timeRemaining(TimeUnit.SECONDS);
    assertTrue(
        seconds <= expected && seconds > expected - 10, seconds + " s instead of " + expected);
  }
}
