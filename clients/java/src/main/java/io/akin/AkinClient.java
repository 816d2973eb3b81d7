package io.akin;

import io.akin.v1.AnalysisServiceGrpc;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceBlockingStub;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceStub;
import io.akin.v1.CatalogServiceGrpc;
import io.akin.v1.CatalogServiceGrpc.CatalogServiceBlockingStub;
import io.akin.v1.ImportInteractionsRequest;
import io.akin.v1.ImportInteractionsResponse;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.ImportUsersRequest;
import io.akin.v1.ImportUsersResponse;
import io.akin.v1.Interaction;
import io.akin.v1.InteractionServiceGrpc;
import io.akin.v1.InteractionServiceGrpc.InteractionServiceBlockingStub;
import io.akin.v1.InteractionServiceGrpc.InteractionServiceFutureStub;
import io.akin.v1.Item;
import io.akin.v1.ItemResult;
import io.akin.v1.RecommenderServiceGrpc;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceBlockingStub;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceFutureStub;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceStub;
import io.akin.v1.User;
import io.akin.v1.UserResult;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ConnectivityState;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.Iterator;
import java.util.Objects;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A connection to an Akin server. Any number of threads can share it.
 *
 * <p>Its methods return the stubs of {@code io.akin.v1}. A call that fails throws
 * {@link io.grpc.StatusRuntimeException}, which {@link AkinException#of} decodes.
 */
public final class AkinClient implements AutoCloseable {
  /** Larger than the server's limit of 16 MiB, so that the server's error reaches the caller. */
  private static final int MAX_MESSAGE_BYTES = 64 << 20;

  private static final long CLOSE_SECONDS = 5;

  /**
   * While a call runs and the server sends nothing, the client pings the server after the first
   * time, and closes the connection if the second time passes without a response. Servers accept a
   * ping every 10 s. The sum exceeds the idle timeout of streams, whose error explains more.
   */
  private static final long KEEPALIVE_SECONDS = 10;

  private static final long KEEPALIVE_TIMEOUT_SECONDS = 15;

  /** Bounds one attempt to connect. The default is 20 s. */
  private static final int CONNECT_TIMEOUT_MILLIS = 5_000;

  /**
   * The period in which the client looks after its connection. gRPC for Java pauses up to two
   * minutes between two attempts to connect, and waits without end for a peer that accepts a
   * connection and does not respond. No option changes this.
   */
  private static final long SUPERVISION_SECONDS = 5;

  private final ScheduledExecutorService timer;
  private final ManagedChannel connection;
  private final String catalog;
  // The channel without the catalog, and the channel of the calls.
  private final Channel plainChannel;
  private final Channel channel;
  private ConnectivityState lastState = ConnectivityState.IDLE;

  private AkinClient(
      ManagedChannel connection,
      ScheduledExecutorService timer,
      Channel plainChannel,
      String catalog) {
    this.connection = connection;
    this.timer = timer;
    this.plainChannel = plainChannel;
    this.catalog = catalog;
    channel =
        catalog.isEmpty()
            ? plainChannel
            : ClientInterceptors.intercept(plainChannel, new CatalogName(catalog));
  }

  private static AkinClient create(Builder builder) {
    ScheduledExecutorService timer =
        Executors.newSingleThreadScheduledExecutor(AkinClient::newTimerThread);
    ManagedChannel connection = connect(builder);
    Channel channel =
        ClientInterceptors.intercept(
            connection,
            new IdleTimeout(builder.address, builder.idleTimeout, timer),
            new CallDefaults(builder.timeout, builder.apiKey),
            new InteractionTimes());
    AkinClient client = new AkinClient(connection, timer, channel, builder.catalog);
    timer.scheduleWithFixedDelay(
        client::supervise, SUPERVISION_SECONDS, SUPERVISION_SECONDS, TimeUnit.SECONDS);
    return client;
  }

  private static ManagedChannel connect(Builder builder) {
    ManagedChannelBuilder<?> channel =
        NettyChannelBuilder.forTarget(builder.address, builder.credentials)
            .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MILLIS)
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            .defaultServiceConfig(ServiceConfig.load())
            .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
            .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .enableRetry();
    if (Loopback.matches(builder.address)) {
      // Proxies are for other machines.
      channel.proxyDetector(target -> null);
    }
    return channel.build();
  }

  private static Thread newTimerThread(Runnable run) {
    Thread thread = new Thread(run, "akin-timer");
    thread.setDaemon(true);
    return thread;
  }

  /** Tries again if there is no connection, without the pauses that have become long. */
  private void supervise() {
    ConnectivityState state = connection.getState(false);
    if (state == ConnectivityState.TRANSIENT_FAILURE) {
      connection.resetConnectBackoff();
    } else if (state == ConnectivityState.CONNECTING && lastState == state) {
      // Drops the attempt. Calls that wait for a connection start another one.
      connection.enterIdle();
    }
    lastState = state;
  }

  /**
   * Returns a builder of a client, by default without TLS.
   *
   * @param address the address of the server, as {@code host:port}; if the host has several
   *     addresses, each is a replica, and calls are spread over them
   */
  public static Builder builder(String address) {
    return new Builder(address);
  }

  /**
   * Returns a client of a catalog, which shares the connection: requests that name no catalog use
   * this one. {@code createCatalog} and {@code deleteCatalog} always need a name. Closing one of the
   * clients closes the connection of both.
   *
   * @param name the name of the catalog; empty for the catalog {@code default}
   */
  public AkinClient catalog(String name) {
    return new AkinClient(connection, timer, plainChannel, Objects.requireNonNull(name));
  }

  /**
   * Returns a client whose calls and imports pass through interceptors, such as {@link CallInfo}. It
   * shares the connection. Closing one of the clients closes the connection of both.
   */
  public AkinClient withInterceptors(ClientInterceptor... interceptors) {
    Channel intercepted = ClientInterceptors.intercept(plainChannel, interceptors);
    return new AkinClient(connection, timer, intercepted, catalog);
  }

  /** Returns a blocking stub for items, users and recommendations. */
  public RecommenderServiceBlockingStub recommender() {
    return RecommenderServiceGrpc.newBlockingStub(channel);
  }

  /** Returns a stub for items, users and recommendations whose calls return futures. */
  public RecommenderServiceFutureStub recommenderFuture() {
    return RecommenderServiceGrpc.newFutureStub(channel);
  }

  /** Returns a stub for items, users and recommendations whose calls take observers. */
  public RecommenderServiceStub recommenderAsync() {
    return RecommenderServiceGrpc.newStub(channel);
  }

  /**
   * Returns a blocking stub that records, lists and deletes what users do with items.
   *
   * <p>Interactions to record without a time get the present one, so that a retry does not record
   * them again.
   */
  public InteractionServiceBlockingStub interactions() {
    return InteractionServiceGrpc.newBlockingStub(channel);
  }

  /** Returns a stub like that of {@link #interactions()} whose calls return futures. */
  public InteractionServiceFutureStub interactionsFuture() {
    return InteractionServiceGrpc.newFutureStub(channel);
  }

  /** Returns a blocking stub that manages catalogs, changes their settings and re-embeds them. */
  public CatalogServiceBlockingStub catalogs() {
    return CatalogServiceGrpc.newBlockingStub(channel);
  }

  /**
   * Returns a blocking stub for near-duplicates, outliers, clusters, labels and passages.
   *
   * <p>{@code findDuplicates} returns an iterator, which blocks until the next response.
   */
  public AnalysisServiceBlockingStub analysis() {
    return AnalysisServiceGrpc.newBlockingStub(channel);
  }

  /** Returns a stub for analyses whose calls take observers. */
  public AnalysisServiceStub analysisAsync() {
    return AnalysisServiceGrpc.newStub(channel);
  }

  /** Returns the channel of the stubs, for other stubs such as that of the health check. */
  public Channel channel() {
    return channel;
  }

  /**
   * Stores many items in the catalog of the client and returns when all have their results.
   *
   * <p>An invalid item does not affect the others: its result has a code other than 0.
   *
   * @param items the items, which are read in a thread of their own, as fast as the server stores
   *     them; the end of the import interrupts this thread
   * @param results receives one result for each item, in order, in the calling thread
   * @throws AkinException if the call failed; items without a result can be stored nevertheless
   */
  public void importItems(Iterator<Item> items, Consumer<ItemResult> results) {
    importItems(
        ImportItemsRequest.getDefaultInstance(),
        items,
        response -> response.getResultsList().forEach(results));
  }

  /**
   * Stores or validates many items, and reports the embedding usage of each message.
   *
   * <p>The only deadline is that of the {@link io.grpc.Context}.
   *
   * @param settings the catalog and the options of every message; its own items are ignored
   * @param items the items, which are read in a thread of their own, as fast as the server stores
   *     them; the end of the import interrupts this thread
   * @param responses receives the response to each message, in order, in the calling thread
   * @throws AkinException if the call failed; items without a result can be stored nevertheless
   */
  public void importItems(
      ImportItemsRequest settings,
      Iterator<Item> items,
      Consumer<ImportItemsResponse> responses) {
    ImportItemsRequest empty = settings.toBuilder().clearItems().build();
    new BulkImport<Item, ImportItemsRequest, ImportItemsResponse>(
            channel,
            RecommenderServiceGrpc.getImportItemsMethod(),
            batch -> empty.toBuilder().addAllItems(batch).build(),
            items)
        .run(responses);
  }

  /**
   * Stores many users in the catalog of the client. It works like {@link #importItems(Iterator,
   * Consumer)}.
   *
   * @param users the users, which are read in a thread of their own, as fast as the server stores
   *     them; the end of the import interrupts this thread
   * @param results receives one result for each user, in order, in the calling thread
   * @throws AkinException if the call failed; users without a result can be stored nevertheless
   */
  public void importUsers(Iterator<User> users, Consumer<UserResult> results) {
    importUsers(
        ImportUsersRequest.getDefaultInstance(),
        users,
        response -> response.getResultsList().forEach(results));
  }

  /**
   * Stores or validates many users, and reports the embedding usage of each message.
   *
   * <p>The only deadline is that of the {@link io.grpc.Context}.
   *
   * @param settings the catalog and the options of every message; its own users are ignored
   * @param users the users, which are read in a thread of their own, as fast as the server stores
   *     them; the end of the import interrupts this thread
   * @param responses receives the response to each message, in order, in the calling thread
   * @throws AkinException if the call failed; users without a result can be stored nevertheless
   */
  public void importUsers(
      ImportUsersRequest settings,
      Iterator<User> users,
      Consumer<ImportUsersResponse> responses) {
    ImportUsersRequest empty = settings.toBuilder().clearUsers().build();
    new BulkImport<User, ImportUsersRequest, ImportUsersResponse>(
            channel,
            RecommenderServiceGrpc.getImportUsersMethod(),
            batch -> empty.toBuilder().addAllUsers(batch).build(),
            users)
        .run(responses);
  }

  /**
   * Records many interactions in the catalog of the client. It works like {@link
   * #importInteractions(ImportInteractionsRequest, Iterator, Consumer)}.
   *
   * @param interactions the interactions, which are read in a thread of their own, as fast as the
   *     server records them; the end of the import interrupts this thread
   * @param responses receives the response to each message, in order, in the calling thread
   * @throws AkinException if the call failed; interactions without a response can be recorded
   *     nevertheless
   */
  public void importInteractions(
      Iterator<Interaction> interactions, Consumer<ImportInteractionsResponse> responses) {
    importInteractions(ImportInteractionsRequest.getDefaultInstance(), interactions, responses);
  }

  /**
   * Records or validates many interactions. The positions of failures count from the first
   * interaction of the import. An interaction without a time gets the present one.
   *
   * <p>The only deadline is that of the {@link io.grpc.Context}.
   *
   * @param settings the catalog and the options of every message; its own interactions are ignored
   * @param interactions the interactions, which are read in a thread of their own, as fast as the
   *     server records them; the end of the import interrupts this thread
   * @param responses receives the response to each message, in order, in the calling thread
   * @throws AkinException if the call failed; interactions without a response can be recorded
   *     nevertheless
   */
  public void importInteractions(
      ImportInteractionsRequest settings,
      Iterator<Interaction> interactions,
      Consumer<ImportInteractionsResponse> responses) {
    ImportInteractionsRequest empty = settings.toBuilder().clearInteractions().build();
    FailurePositions positions = new FailurePositions();
    new BulkImport<Interaction, ImportInteractionsRequest, ImportInteractionsResponse>(
            channel,
            InteractionServiceGrpc.getImportInteractionsMethod(),
            batch -> {
              positions.add(batch.size());
              return empty.toBuilder().addAllInteractions(batch).build();
            },
            interactions)
        .run(response -> responses.accept(positions.complete(response)));
  }

  /** Closes the connection and cancels all running calls. */
  @Override
  public void close() {
    connection.shutdownNow();
    timer.shutdownNow();
    try {
      connection.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Builds a client. */
  public static final class Builder {
    private final String address;
    private ChannelCredentials credentials = InsecureChannelCredentials.create();
    private boolean secure;
    private String apiKey = "";
    private String catalog = "";
    private Duration timeout = Duration.ofSeconds(10);
    private Duration idleTimeout = Duration.ofSeconds(20);

    private Builder(String address) {
      this.address = Objects.requireNonNull(address);
    }

    /** Sends an API key with every call. An empty key, the default, is not sent. */
    public Builder apiKey(String key) {
      apiKey = Objects.requireNonNull(key);
      return this;
    }

    /** Sets the catalog of requests that name none. The default is the catalog {@code default}. */
    public Builder catalog(String name) {
      catalog = Objects.requireNonNull(name);
      return this;
    }

    /** Enables TLS and trusts the certificate authorities that Java trusts. */
    public Builder tls() {
      return tls(TlsChannelCredentials.create());
    }

    /**
     * Enables TLS and trusts the given certificate authorities.
     *
     * @param ca the CA bundle for verifying the server, in PEM
     * @throws IOException if the file cannot be read
     */
    public Builder tlsFiles(File ca) throws IOException {
      return tls(TlsChannelCredentials.newBuilder().trustManager(ca).build());
    }

    /**
     * Enables mTLS: trusts the given certificate authorities and sends a client certificate.
     *
     * @param ca the CA bundle for verifying the server, in PEM
     * @param certificate the certificate of the client, in PEM
     * @param key the private key of the certificate, in PEM and PKCS#8
     * @throws IOException if a file cannot be read
     */
    public Builder tlsFiles(File ca, File certificate, File key) throws IOException {
      return tls(
          TlsChannelCredentials.newBuilder().trustManager(ca).keyManager(certificate, key).build());
    }

    private Builder tls(ChannelCredentials tlsCredentials) {
      credentials = tlsCredentials;
      secure = true;
      return this;
    }

    /**
     * Sets the default deadline of calls, including retries. The default is 10 seconds.
     *
     * <p>It does not apply to imports, which have no deadline, or to {@code findDuplicates}, {@code
     * findOutliers} and {@code clusterItems}, which examine a whole catalog and have a default
     * deadline of 10 minutes.
     */
    public Builder timeout(Duration defaultTimeout) {
      if (defaultTimeout.isNegative() || defaultTimeout.isZero()) {
        throw new IllegalArgumentException("the timeout must be positive");
      }
      timeout = defaultTimeout;
      return this;
    }

    /**
     * Sets the idle timeout of streams. The default is 20 seconds.
     *
     * <p>A stream fails with UNAVAILABLE if the server sends no message for this time, and does not
     * answer a health check in the second half of it.
     */
    public Builder idleTimeout(Duration newTimeout) {
      if (newTimeout.isNegative() || newTimeout.isZero()) {
        throw new IllegalArgumentException("the idle timeout must be positive");
      }
      idleTimeout = newTimeout;
      return this;
    }

    /**
     * Builds the client, which connects at the first call.
     *
     * @throws IllegalStateException if the client would send an API key without TLS to an address
     *     that is no loopback address
     */
    public AkinClient build() {
      if (!apiKey.isEmpty() && !secure && !Loopback.matches(address)) {
        throw new IllegalStateException(
            "an API key requires TLS, unless the address is a loopback address");
      }
      return create(this);
    }
  }
}
