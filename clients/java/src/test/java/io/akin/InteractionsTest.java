package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import io.akin.v1.ImportInteractionsRequest;
import io.akin.v1.ImportInteractionsResponse;
import io.akin.v1.Interaction;
import io.akin.v1.InteractionFailure;
import io.akin.v1.InteractionServiceGrpc.InteractionServiceImplBase;
import io.akin.v1.RecordInteractionsRequest;
import io.akin.v1.RecordInteractionsResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class InteractionsTest {
  private static final String MISSING_CATALOG = "no-such";

  private final Interactions service = new Interactions();
  private Server server;
  private AkinClient client;

  @BeforeEach
  void start() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(service)
            .build()
            .start();
    client = AkinClient.builder("127.0.0.1:" + server.getPort()).build();
  }

  @AfterEach
  void stop() {
    client.close();
    server.shutdownNow();
  }

  /** An interaction without a time has the same one at each attempt. Another time is kept. */
  @Test
  void aRetryRecordsTheSameTime() {
    Timestamp time = Timestamp.newBuilder().setSeconds(7).build();
    long start = Instant.now().getEpochSecond();
    RecordInteractionsRequest request =
        RecordInteractionsRequest.newBuilder()
            .setCatalog("books")
            .addInteractions(view("a"))
            .addInteractions(view("b").toBuilder().setTime(time))
            .build();
    client.interactions().recordInteractions(request);
    assertEquals(2, service.attempts.size());
    assertEquals(service.attempts.get(0), service.attempts.get(1));
    RecordInteractionsRequest sent = service.attempts.get(0);
    assertTrue(sent.getInteractions(0).getTime().getSeconds() >= start);
    assertEquals(time, sent.getInteractions(1).getTime());
    assertEquals("books", sent.getCatalog());
  }

  /** Failures have their positions in the import, and each message has the settings. */
  @Test
  void failuresHaveTheirPositionsInTheImport() {
    List<Integer> positions = new ArrayList<>();
    client.importInteractions(
        ImportInteractionsRequest.newBuilder().setCatalog("books").setValidateOnly(true).build(),
        IntStream.range(0, 600).mapToObj(number -> view("item-" + number)).iterator(),
        response ->
            response.getFailuresList().forEach(failure -> positions.add(failure.getPosition())));
    assertEquals(List.of(0, 255, 256, 511, 512, 599), positions);
    for (ImportInteractionsRequest request : service.imported) {
      assertTrue(request.getInteractionsList().stream().allMatch(Interaction::hasTime));
      assertTrue(request.getValidateOnly());
      assertEquals("books", request.getCatalog());
    }
  }

  /** An import uses the default catalog if there are no settings. */
  @Test
  void anImportNeedsNoSettings() {
    client.importInteractions(List.of(view("a")).iterator(), response -> {});
    assertEquals(1, service.imported.get(0).getInteractionsCount());
    assertEquals("", service.imported.get(0).getCatalog());
  }

  /** An error of the server ends an import of endless interactions. */
  @Test
  void anErrorEndsEndlessInteractions() {
    ImportInteractionsRequest settings =
        ImportInteractionsRequest.newBuilder().setCatalog(MISSING_CATALOG).build();
    AkinException failure =
        assertThrows(
            AkinException.class,
            () ->
                client.importInteractions(
                    settings, Stream.generate(() -> view("a")).iterator(), response -> {}));
    assertEquals(Status.Code.NOT_FOUND, failure.code());
  }

  private static Interaction view(String itemId) {
    return Interaction.newBuilder().setUserId("u").setItemId(itemId).setType("VIEW").build();
  }

  /** Fails the first attempt of each test, and the first and last interactions of each message. */
  private static final class Interactions extends InteractionServiceImplBase {
    final List<RecordInteractionsRequest> attempts = new CopyOnWriteArrayList<>();
    final List<ImportInteractionsRequest> imported = new CopyOnWriteArrayList<>();

    @Override
    public void recordInteractions(
        RecordInteractionsRequest request, StreamObserver<RecordInteractionsResponse> responses) {
      attempts.add(request);
      if (attempts.size() == 1) {
        responses.onError(Status.UNAVAILABLE.asRuntimeException());
        return;
      }
      responses.onNext(RecordInteractionsResponse.getDefaultInstance());
      responses.onCompleted();
    }

    @Override
    public StreamObserver<ImportInteractionsRequest> importInteractions(
        StreamObserver<ImportInteractionsResponse> responses) {
      return new StreamObserver<>() {
        @Override
        public void onNext(ImportInteractionsRequest request) {
          if (request.getCatalog().equals(MISSING_CATALOG)) {
            responses.onError(Status.NOT_FOUND.asRuntimeException());
            return;
          }
          imported.add(request);
          int last = request.getInteractionsCount() - 1;
          responses.onNext(
              ImportInteractionsResponse.newBuilder()
                  .addFailures(InteractionFailure.newBuilder().setPosition(0))
                  .addFailures(InteractionFailure.newBuilder().setPosition(last))
                  .build());
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          responses.onCompleted();
        }
      };
    }
  }
}
