// `assay serve` in a process of its own, and connections to it as plain text.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "harness/base/text.h"
#include "tests/support.h"

namespace assay::testing {

// A program of the machine, whose standard error goes to a file; it ends with the object.
class ChildProcess {
 public:
  ChildProcess(std::vector<std::string> words, const std::string& log) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ != 0) return;
    (void)!freopen(log.c_str(), "w", stderr);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  ~ChildProcess() {
    if (process_ > 0) stop(SIGKILL);
  }
  // The exit code.
  int stop(int signal_number) {
    kill(process_, signal_number);
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t process_ = -1;
};

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A port that nobody has now.
inline int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(socket);
  return ntohs(address.sin_port);
}

// Whether somebody listens there, now or within 10 s.
inline bool answers(int port) {
  const sockaddr_in address = loopback(port);
  for (int i = 0; i < 1000; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool there =
        connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(socket);
    if (there) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

class ServeProcess {
 public:
  explicit ServeProcess(const std::vector<std::string>& flags = {})
      : process_(words(flags), folder_ / "log") {
    for (int i = 0; i < 2000 && port_ == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const std::string text = this->log();
      const std::string mark = "http://127.0.0.1:";
      const size_t at = text.find(mark);
      if (at != std::string::npos && text.find("/v1", at) != std::string::npos) {
        port_ = std::stoi(text.substr(at + mark.size()));
      }
    }
    EXPECT_NE(port_, 0) << this->log();
  }

  int stop(int signal_number) { return process_.stop(signal_number); }
  std::string log() const {
    std::ifstream file(folder_ / "log");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }

  int connect() const {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port_);
    EXPECT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return socket;
  }
  // Sends these bytes and reads until the server closes.
  std::string exchange(const std::string& bytes) const {
    const int socket = connect();
    EXPECT_EQ(::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    std::string reply;
    char part[65536];
    for (ssize_t count = 0; (count = ::recv(socket, part, sizeof part, 0)) > 0;) {
      reply.append(part, static_cast<size_t>(count));
    }
    close(socket);
    return reply;
  }
  static std::string request(const std::string& path, const std::string& body,
                             const std::string& headers = "Content-Type: application/json\r\n") {
    return "POST " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  std::string post(const std::string& path, const std::string& body) const {
    return exchange(request(path, body));
  }
  std::string get(const std::string& path) const {
    return exchange("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  }
  // The body of a whole answer.
  Json answer(const std::string& path, const std::string& body) const {
    const std::string reply = post(path, body);
    return Json::parse(reply.substr(reply.find("\r\n\r\n") + 4));
  }
  double metric(const std::string& name) const {
    const std::string text = get("/metrics");
    const size_t at = text.find("\nassay_" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 8));
  }

 private:
  static std::vector<std::string> words(const std::vector<std::string>& flags) {
    std::vector<std::string> all = {program(), "serve", "builtin", "--port", "0"};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }

  TemporaryFolder folder_;
  ChildProcess process_;
  int port_ = 0;
};

}  // namespace assay::testing
