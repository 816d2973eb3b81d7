package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Empty;
import io.akin.v1.GetItemRequest;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.Item;
import io.akin.v1.RecommenderServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(30)
class IdleTimeoutTest {
  /** Short, but long enough for a health check on a busy machine. */
  private static final Duration IDLE_TIMEOUT = Duration.ofSeconds(1);

  /** An import ends with an error that names the server if the network drops all bytes. */
  @Test
  void aVanishedServerEndsAnImport() throws IOException {
    try (StandIn server = new StandIn();
        Relay network = new Relay(server.address());
        AkinClient client = client(network.address())) {
      Iterator<Item> items =
          IntStream.range(0, 3000)
              .peek(
                  number -> {
                    if (number == 1000) {
                      network.cut = true;
                    }
                  })
              .mapToObj(IdleTimeoutTest::item)
              .iterator();
      AkinException error =
          assertThrows(AkinException.class, () -> client.importItems(items, result -> {}));
      assertEquals(Status.Code.UNAVAILABLE, error.code());
      assertEquals(
          "the server at " + network.address() + " has not responded for 1 seconds",
          error.getStatus().getDescription());
    }
  }

  /** An import ends with an error if the peer accepts the connection and never responds. */
  @Test
  void aSilentListenerEndsAnImport() throws IOException {
    try (Relay listener = new Relay("");
        AkinClient client = client(listener.address())) {
      AkinException error =
          assertThrows(
              AkinException.class,
              () -> client.importItems(List.of(item(1)).iterator(), result -> {}));
      assertEquals(Status.Code.UNAVAILABLE, error.code());
    }
  }

  /** A client connects again after its peer accepted a connection and did not respond. */
  @Test
  void aSilentListenerDoesNotBlockTheClient() throws IOException {
    try (StandIn server = new StandIn();
        Relay network = new Relay(server.address());
        AkinClient client =
            AkinClient.builder(network.address()).timeout(Duration.ofSeconds(1)).build()) {
      network.cut = true;
      GetItemRequest request = GetItemRequest.newBuilder().setItemId("a").build();
      assertThrows(RuntimeException.class, () -> client.recommender().getItem(request));
      network.cut = false;
      assertEquals(
          "a",
          client
              .recommender()
              .withDeadlineAfter(25, TimeUnit.SECONDS)
              .getItem(request)
              .getItem()
              .getItemId());
    }
  }

  /** An import waits for a slow server that answers health checks, even with an error. */
  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      names = {"OK", "UNIMPLEMENTED", "UNAVAILABLE"})
  void aSlowServerDoesNotEndAnImport(Status.Code health) throws IOException {
    SlowImport slow = new SlowImport(health);
    Server server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(slow)
            .addService(slow.healthService())
            .build()
            .start();
    try (AkinClient client = client("127.0.0.1:" + server.getPort())) {
      client.importItems(List.of(item(1)).iterator(), result -> {});
      assertTrue(slow.checks.get() >= 3);
    } finally {
      server.shutdownNow();
    }
  }

  /** A proxy in the system properties is not used for a server on this machine. */
  @Test
  void noProxyIsUsedOnThisMachine() {
    System.setProperty("https.proxyHost", "127.0.0.1");
    System.setProperty("https.proxyPort", "1");
    // Otherwise Java itself makes an exception for this machine.
    System.setProperty("http.nonProxyHosts", "");
    try (StandIn server = new StandIn();
        AkinClient client = client(server.address())) {
      GetItemRequest request = GetItemRequest.newBuilder().setItemId("a").build();
      assertEquals("a", client.recommender().getItem(request).getItem().getItemId());
    } finally {
      System.clearProperty("https.proxyHost");
      System.clearProperty("https.proxyPort");
      System.clearProperty("http.nonProxyHosts");
    }
  }

  private static AkinClient client(String address) {
    return AkinClient.builder(address).idleTimeout(IDLE_TIMEOUT).build();
  }

  private static Item item(int number) {
    return Item.newBuilder().setItemId("item-" + number).build();
  }

  /** An import that responds after three health checks. */
  private static final class SlowImport extends RecommenderServiceGrpc.RecommenderServiceImplBase {
    final AtomicInteger checks = new AtomicInteger();
    private final Status.Code health;
    private volatile StreamObserver<ImportItemsResponse> responses;

    SlowImport(Status.Code health) {
      this.health = health;
    }

    @Override
    public StreamObserver<ImportItemsRequest> importItems(
        StreamObserver<ImportItemsResponse> observer) {
      responses = observer;
      return new StreamObserver<>() {
        @Override
        public void onNext(ImportItemsRequest request) {}

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {}
      };
    }

    ServerServiceDefinition healthService() {
      MethodDescriptor<Empty, Empty> check =
          MethodDescriptor.<Empty, Empty>newBuilder()
              .setType(MethodType.UNARY)
              .setFullMethodName("grpc.health.v1.Health/Check")
              .setRequestMarshaller(ProtoUtils.marshaller(Empty.getDefaultInstance()))
              .setResponseMarshaller(ProtoUtils.marshaller(Empty.getDefaultInstance()))
              .build();
      return ServerServiceDefinition.builder("grpc.health.v1.Health")
          .addMethod(check, ServerCalls.asyncUnaryCall(this::answerCheck))
          .build();
    }

    private void answerCheck(Empty request, StreamObserver<Empty> observer) {
      if (checks.incrementAndGet() == 3) {
        responses.onNext(ImportItemsResponse.getDefaultInstance());
        responses.onCompleted();
      }
      if (health == Status.Code.OK) {
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
      } else {
        observer.onError(Status.fromCode(health).asRuntimeException());
      }
    }
  }

  /**
   * Passes bytes between its callers and a server until the network between them is cut. Without a
   * server, it accepts connections and never responds.
   */
  private static final class Relay implements AutoCloseable {
    volatile boolean cut;
    private final String server;
    private final ServerSocket listener = new ServerSocket();
    private final List<Socket> sockets = new ArrayList<>();

    Relay(String server) throws IOException {
      this.server = server;
      listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
      start(this::accept);
    }

    String address() {
      return "127.0.0.1:" + listener.getLocalPort();
    }

    private void accept() throws IOException {
      while (true) {
        Socket caller = listener.accept();
        synchronized (sockets) {
          sockets.add(caller);
        }
        if (!server.isEmpty()) {
          int port = Integer.parseInt(server.substring(server.indexOf(':') + 1));
          Socket target = new Socket(InetAddress.getLoopbackAddress(), port);
          synchronized (sockets) {
            sockets.add(target);
          }
          start(() -> pump(caller, target));
          start(() -> pump(target, caller));
        }
      }
    }

    private void pump(Socket source, Socket sink) throws IOException {
      byte[] buffer = new byte[1 << 16];
      InputStream input = source.getInputStream();
      for (int length = input.read(buffer); length >= 0; length = input.read(buffer)) {
        if (!cut) {
          sink.getOutputStream().write(buffer, 0, length);
        }
      }
    }

    private static void start(Work work) {
      Thread thread =
          new Thread(
              () -> {
                try {
                  work.run();
                } catch (IOException e) {
                  // A socket was closed.
                }
              });
      thread.setDaemon(true);
      thread.start();
    }

    @Override
    public void close() throws IOException {
      listener.close();
      synchronized (sockets) {
        for (Socket socket : sockets) {
          socket.close();
        }
      }
    }

    private interface Work {
      void run() throws IOException;
    }
  }
}
