package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.FieldMask;
import io.akin.v1.AnalysisServiceGrpc;
import io.akin.v1.CatalogServiceGrpc;
import io.akin.v1.GetItemRequest;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportUsersRequest;
import io.akin.v1.InteractionServiceGrpc;
import io.akin.v1.Item;
import io.akin.v1.RecommenderServiceGrpc;
import io.akin.v1.UpdateItemRequest;
import io.akin.v1.User;
import io.grpc.Context;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class AkinClientTest {
  private final StandIn server = new StandIn();

  @AfterEach
  void stop() {
    server.close();
  }

  /** Every call has the default deadline of the client and sends the API key. */
  @Test
  void callsHaveADeadlineAndAKey() {
    try (AkinClient client =
        AkinClient.builder(server.address()).apiKey("k").timeout(Duration.ofSeconds(5)).build()) {
      get(client, "a");
    }
    assertEquals("Bearer k", server.authorization);
    assertTrue(server.deadline.timeRemaining(TimeUnit.SECONDS) <= 5);
  }

  /** The deadline of a stub overrides that of the client. */
  @Test
  void aDeadlineOfTheStubWins() {
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      client
          .recommender()
          .withDeadlineAfter(60, TimeUnit.SECONDS)
          .getItem(GetItemRequest.getDefaultInstance());
    }
    assertNull(server.authorization);
    assertTrue(server.deadline.timeRemaining(TimeUnit.SECONDS) > 30);
  }

  /** A call that fails with UNAVAILABLE is sent again, unchanged. */
  @Test
  void unavailableIsRetried() {
    server.failures.set(1);
    List<String> paths = List.of("attributes.in stock", "expire_time");
    UpdateItemRequest request =
        UpdateItemRequest.newBuilder()
            .setItem(item("a", ""))
            .setUpdateMask(FieldMask.newBuilder().addAllPaths(paths))
            .build();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      assertEquals("a", client.recommender().updateItem(request).getItem().getItemId());
    }
    assertEquals(List.of(paths, paths), server.masks);
  }

  /** The client retries every unary method and no stream. */
  @Test
  void everyUnaryMethodIsRetried() {
    Set<String> unary =
        Stream.of(
                RecommenderServiceGrpc.getServiceDescriptor(),
                CatalogServiceGrpc.getServiceDescriptor(),
                InteractionServiceGrpc.getServiceDescriptor(),
                AnalysisServiceGrpc.getServiceDescriptor())
            .flatMap(service -> service.getMethods().stream())
            .filter(method -> method.getType() == MethodType.UNARY)
            .map(method -> method.getFullMethodName())
            .collect(Collectors.toSet());
    Set<String> retried = new HashSet<>();
    List<?> configs = (List<?>) ServiceConfig.load().get("methodConfig");
    for (Object name : (List<?>) ((Map<?, ?>) configs.get(0)).get("name")) {
      Map<?, ?> method = (Map<?, ?>) name;
      retried.add(method.get("service") + "/" + method.get("method"));
    }
    assertEquals(unary, retried);
  }

  /** Without TLS, an API key is accepted only for a loopback address. */
  @Test
  void aKeyRequiresTlsOrLoopback() {
    for (String address :
        List.of("akin.example:50051", "127.0.0.1.example:1", "10.0.0.1:1", "localhost.example")) {
      AkinClient.Builder builder = AkinClient.builder(address).apiKey("k");
      assertThrows(IllegalStateException.class, builder::build, address);
      builder.tls().build().close();
    }
    for (String address : List.of("localhost:1", "127.0.0.2:1", "[::1]:1", "dns:///localhost:1")) {
      AkinClient.builder(address).apiKey("k").build().close();
    }
  }

  /** An import sends messages of limited size and passes on the results in order. */
  @Test
  void importsAreSentInMessages() {
    List<String> ids = new ArrayList<>();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      client.importItems(items(600, "text"), result -> ids.add(result.getItemId()));
      assertEquals(IntStream.range(0, 600).mapToObj(number -> "item-" + number).toList(), ids);
      assertEquals(List.of(256, 256, 88), server.imported);
      assertNull(server.deadline);

      server.imported.clear();
      client.importItems(items(10, "x".repeat(1_000_000)), result -> ids.add(result.getItemId()));
      assertEquals(List.of(4, 4, 2), server.imported);

      server.imported.clear();
      client.importItems(items(0, ""), result -> ids.add(result.getItemId()));
      assertEquals(List.of(), server.imported);
    }
    assertEquals(610, ids.size());
  }

  /** Users are imported like items, with the settings of the caller in every message. */
  @Test
  void usersAreImportedLikeItems() {
    List<String> ids = new ArrayList<>();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      client.importUsers(users(600), result -> ids.add(result.getUserId()));
      assertEquals(IntStream.range(0, 600).mapToObj(number -> "user-" + number).toList(), ids);
      assertEquals(List.of(256, 256, 88), server.imported);

      ImportUsersRequest settings =
          ImportUsersRequest.newBuilder().setCatalog(StandIn.MISSING_CATALOG).build();
      AkinException error =
          assertThrows(
              AkinException.class, () -> client.importUsers(settings, users(1), response -> {}));
      assertEquals(Status.Code.NOT_FOUND, error.code());
    }
  }

  /** An import that the server ends before its last response is an error. */
  @Test
  void anImportThatEndsEarlyIsAnError() {
    ImportItemsRequest settings =
        ImportItemsRequest.newBuilder().setCatalog(StandIn.SILENT_CATALOG).build();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      AkinException error =
          assertThrows(
              AkinException.class,
              () -> client.importItems(settings, items(600, "text"), response -> {}));
      assertEquals(Status.Code.INTERNAL, error.code());
    }
  }

  /** An import ends with the error of its call. */
  @Test
  void anImportEndsWithItsError() {
    ImportItemsRequest settings =
        ImportItemsRequest.newBuilder().setCatalog(StandIn.MISSING_CATALOG).build();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      Iterator<Item> endless = Stream.generate(() -> item("a", "text")).iterator();
      AkinException error =
          assertThrows(
              AkinException.class, () -> client.importItems(settings, endless, response -> {}));
      assertEquals(Status.Code.NOT_FOUND, error.code());
    }
  }

  /** An import ends with the exception of its source, and when its context is cancelled. */
  @Test
  void anImportEndsWithItsSourceAndItsContext() {
    Iterator<Item> broken =
        Stream.<Item>generate(
                () -> {
                  throw new BrokenException();
                })
            .iterator();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      assertThrows(BrokenException.class, () -> client.importItems(broken, result -> {}));
      Context.CancellableContext cancelled = Context.current().withCancellation();
      cancelled.cancel(null);
      cancelled.run(
          () -> {
            StatusRuntimeException error =
                assertThrows(
                    StatusRuntimeException.class,
                    () -> client.importItems(items(1, "text"), result -> {}));
            assertEquals(Status.Code.CANCELLED, error.getStatus().getCode());
          });
    }
  }

  /** The error of an import arrives while its source blocks, and the source is interrupted. */
  @Test
  void anErrorArrivesAlthoughTheSourceBlocks() throws InterruptedException {
    ImportItemsRequest settings =
        ImportItemsRequest.newBuilder().setCatalog(StandIn.MISSING_CATALOG).build();
    BlockedSource source = new BlockedSource(300);
    server.failing = new CountDownLatch(1);
    source.onBlock = server.failing::countDown;
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      AkinException error =
          assertThrows(
              AkinException.class, () -> client.importItems(settings, source, response -> {}));
      assertEquals(Status.Code.NOT_FOUND, error.code());
    }
    source.interrupted.await();
    source.thread.join();
    assertTrue(source.readCount <= 300);
  }

  /** An exception of the consumer ends an import whose source blocks, and so does an interrupt. */
  @Test
  void anImportThatItsCallerLeavesEndsItsSource() throws InterruptedException {
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      BlockedSource source = new BlockedSource(300);
      assertThrows(
          BrokenException.class,
          () ->
              client.importItems(
                  source,
                  result -> {
                    throw new BrokenException();
                  }));
      source.thread.join();

      BlockedSource other = new BlockedSource(1);
      Thread caller = Thread.currentThread();
      other.onBlock = caller::interrupt;
      AkinException error =
          assertThrows(AkinException.class, () -> client.importItems(other, result -> {}));
      assertEquals(Status.Code.CANCELLED, error.code());
      assertTrue(Thread.interrupted());
      other.interrupted.await();
      other.thread.join();
    }
  }

  /** A source of items that blocks after some of them. */
  private static final class BlockedSource implements Iterator<Item> {
    final CountDownLatch interrupted = new CountDownLatch(1);
    volatile Thread thread;
    volatile int readCount;
    Runnable onBlock = () -> {};
    private final int count;

    BlockedSource(int count) {
      this.count = count;
    }

    @Override
    public boolean hasNext() {
      return true;
    }

    @Override
    public Item next() {
      thread = Thread.currentThread();
      if (readCount == count) {
        onBlock.run();
        try {
          new CountDownLatch(1).await();
        } catch (InterruptedException e) {
          interrupted.countDown();
          throw new IllegalStateException(e);
        }
      }
      readCount++;
      return item("a", "text");
    }
  }

  private static final class BrokenException extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  private static String get(AkinClient client, String id) {
    GetItemRequest request = GetItemRequest.newBuilder().setItemId(id).build();
    return client.recommender().getItem(request).getItem().getItemId();
  }

  private static Iterator<Item> items(int count, String text) {
    return IntStream.range(0, count).mapToObj(number -> item("item-" + number, text)).iterator();
  }

  private static Iterator<User> users(int count) {
    return IntStream.range(0, count)
        .mapToObj(number -> User.newBuilder().setUserId("user-" + number).build())
        .iterator();
  }

  private static Item item(String id, String text) {
    return Item.newBuilder().setItemId(id).setText(text).build();
  }
}
