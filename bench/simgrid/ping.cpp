// Messages per second of wall time that SimGrid simulates between many hosts: in every second of virtual time each
// host pings another one, drawn at random, which answers. This is what our membership scenario does on as many nodes,
// minus all that the nodes there compute. Prints one line of JSON.
//
// Debian packages: g++, libsimgrid-dev, libboost-dev. Build: g++ -O2 -o ping ping.cpp -lsimgrid
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <simgrid/s4u.hpp>

namespace sg = simgrid::s4u;

namespace {

constexpr double kPeriod = 1.0;
constexpr double kMessageBytes = 200;

struct Ping {
  sg::Mailbox* answer_to;
};

std::vector<sg::Mailbox*> inboxes;
unsigned long delivered = 0;

// Answers whatever comes until the simulation ends.
void respond(sg::Mailbox* inbox) {
  sg::Actor::self()->daemonize();
  inbox->set_receiver(sg::Actor::self());
  for (;;) {
    auto ping = inbox->get_unique<Ping>();
    delivered++;
    ping->answer_to->put_init(new Ping{nullptr}, kMessageBytes)->detach();
  }
}

void probe(unsigned self, double until) {
  auto* answers = sg::Mailbox::by_name("answers-" + std::to_string(self));
  std::mt19937 random(self + 1);
  std::uniform_int_distribution<unsigned> other(1, inboxes.size() - 1);
  sg::this_actor::sleep_for(kPeriod * std::uniform_real_distribution<double>(0, 1)(random));
  while (sg::Engine::get_clock() < until) {
    const double began = sg::Engine::get_clock();
    inboxes[(self + other(random)) % inboxes.size()]->put(new Ping{answers}, kMessageBytes);
    answers->get_unique<Ping>();
    delivered++;
    sg::this_actor::sleep_until(began + kPeriod);
  }
}

// Each host on a line of its own to a middle that costs nothing.
void build_star(unsigned hosts) {
  auto* zone = sg::create_star_zone("sky");
  for (unsigned i = 0; i < hosts; i++) {
    const std::string name = std::to_string(i);
    auto* host = zone->create_host("host-" + name, 1e9);
    auto* link = zone->create_split_duplex_link("line-" + name, 125e6)->set_latency(0.005);
    zone->add_route(host->get_netpoint(), nullptr, nullptr, nullptr,
                    {{link, sg::LinkInRoute::Direction::UP}}, true);
  }
  zone->seal();
}

}  // namespace

int main(int argc, char** argv) {
  sg::Engine engine(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "Usage: %s HOSTS VIRTUAL-SECONDS [--cfg=network/model:CM02 ...]\n", argv[0]);
    return 2;
  }
  const unsigned hosts = std::strtoul(argv[1], nullptr, 10);
  const double seconds = std::strtod(argv[2], nullptr);
  build_star(hosts);
  for (unsigned i = 0; i < hosts; i++) inboxes.push_back(sg::Mailbox::by_name("inbox-" + std::to_string(i)));
  for (unsigned i = 0; i < hosts; i++) {
    auto* host = engine.host_by_name("host-" + std::to_string(i));
    sg::Actor::create("respond", host, respond, inboxes[i]);
    sg::Actor::create("probe", host, probe, i, seconds);
  }
  const auto began = std::chrono::steady_clock::now();
  engine.run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("{\"hosts\":%u,\"virtualSeconds\":%.1f,\"messages\":%lu,\"wallSeconds\":%.3f,\"messagesPerSecond\":%.0f}\n",
              hosts, seconds, delivered, took.count(), delivered / took.count());
  return 0;
}
